"""The switches as they stand, asked before each mail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from dagster_project.ledger import open_ledger
from dagster_project.ledger.watch import Watch
from dagster_project.lifecycle.errors import LostConnectionError

if TYPE_CHECKING:
    from .conftest import World


def seen(watch: Watch, expected: tuple[bool, set[str]]) -> bool:
    """Within a second: PostgreSQL's notification is on its way while the commit is answered."""
    ends = time.monotonic() + 1
    while watch.stopped() != expected:
        if time.monotonic() > ends:
            return False
        time.sleep(0.005)
    return True


def test_what_is_set_is_seen_at_once(world: World) -> None:
    with world.ledger.watch() as watch:
        assert watch.stopped() == (False, frozenset())
        world.ledger.pause("welcome", "ana", "typo")
        assert seen(watch, (False, {"welcome"}))
        world.ledger.kill("ana", "wrong audience")
        assert seen(watch, (True, {"welcome"}))
        world.ledger.resume(None, "ana", "checked")
        world.ledger.resume("welcome", "ana", "mended")
        assert seen(watch, (False, set()))


def test_what_was_set_before_is_seen(world: World) -> None:
    world.ledger.kill("ana", "wrong audience")

    with world.ledger.watch() as watch:
        assert watch.stopped() == (True, frozenset())


def test_a_database_that_cannot_be_asked_is_asked_again_on_another_connection(world: World) -> None:
    """In doubt nothing is sent."""
    with world.ledger.watch() as watch:
        assert watch.stopped() == (False, frozenset())
        watch._connection.close()
        with pytest.raises(LostConnectionError):
            watch.stopped()
        assert watch.stopped() == (False, frozenset())


def test_it_connects_as_the_ledger_does(postgresql_world: World) -> None:
    """To libpq a `+` in a URL is no blank: of two server settings, or a password with a blank, it read other words."""
    url = f"{postgresql_world.url}%20-cstatement_timeout%3D61000"
    with open_ledger(url, postgresql_world.clock) as ledger, ledger.watch() as watch:
        assert watch.stopped() == (False, frozenset())
        assert watch._connection.execute("SHOW statement_timeout").fetchone() == ("61s",)
