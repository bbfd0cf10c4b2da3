"""A host that vanished, or a process that stands still, keeps the others from the ledger for a while and not for ever (PostgreSQL)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from dagster_project.ledger import database, open_ledger
from dagster_project.lifecycle.errors import LostConnectionError

if TYPE_CHECKING:
    from tests.ledger.conftest import World


def test_either_end_gives_up_a_silent_host_in_half_a_minute(postgresql_world: World) -> None:
    """The systems' own keepalives take two hours, and a dead host's transaction holds the chain head for so long."""
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    with postgresql_world.ledger._database.read() as connection:
        theirs = [int(connection.exec_driver_sql(f"SHOW tcp_{name}").scalar_one()) for name in names]
        ours = connection.connection.driver_connection.info.get_parameters()
    with postgresql_world.ledger.watch() as watch:
        looking = watch._connection.info.get_parameters()

    idle, interval, count, milliseconds = theirs
    assert (idle + count * interval, milliseconds) == (30, 30_000)
    for line in (ours, looking):
        assert [int(line[name.replace("user", "tcp_user")]) for name in names] == theirs


def test_a_writer_that_stands_still_is_ended_and_leaves_no_trace(
    postgresql_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STANDSTILL_SECONDS", 1)
    world = postgresql_world
    with open_ledger(world.url, world.clock) as still, open_ledger(world.url, world.clock) as other:
        waiter = threading.Thread(target=other.kill, args=("ana", "others can write"))
        with pytest.raises(LostConnectionError), still._database.write() as write:
            write.append("control", actor="zombie")
            waiter.start()
            time.sleep(2)
        waiter.join(timeout=10)
        assert [control.actor for control in other.controls()] == ["ana"]
        assert other.verify()["ok"]


def test_who_only_reads_may_take_its_time(postgresql_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking a million messages thinks for longer than a writer may, and keeps nobody waiting."""
    monkeypatch.setattr(database, "STANDSTILL_SECONDS", 1)
    with (
        open_ledger(postgresql_world.url, postgresql_world.clock) as ledger,
        ledger._database.snapshot() as connection,
    ):
        time.sleep(2)
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
