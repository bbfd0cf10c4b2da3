"""Which policies were in force when: known from the ledger alone, also after the warehouse is gone."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import World

FIRST = datetime(2026, 9, 1, 9)


def document(priority: int) -> bytes:
    return json.dumps({"policy": {"priority": priority}, "sql": "select 1", "templates": {}}, sort_keys=True).encode()


def decide(world: World, hours: int, pack: str = "demo", **priorities: int) -> None:
    """A tick so many hours after the first decides by these priorities."""
    policies = {name: document(priority) for name, priority in priorities.items()}
    world.ledger.record_policies(f"run-{hours}", FIRST + timedelta(hours=hours), pack, policies, {})


def spans(world: World, pack: str = "demo") -> list[tuple[str, int, int, int, int | None]]:
    """(campaign, version, priority, from hour, to hour)."""

    def hours(moment: datetime | None) -> int | None:
        return None if moment is None else round((moment - FIRST).total_seconds() / 3600)

    return [
        (
            one.campaign_id,
            one.version,
            json.loads(one.document)["policy"]["priority"],
            hours(one.valid_from) or 0,
            hours(one.valid_to),
        )
        for one in world.ledger.policy_history(pack)
    ]


def test_a_version_lasts_from_its_first_tick_to_the_first_tick_of_the_next(world: World) -> None:
    decide(world, 0, welcome=1, winback=5)
    decide(world, 1, welcome=1, winback=5)
    decide(world, 2, welcome=2, winback=5)

    assert spans(world) == [("welcome", 1, 1, 0, 2), ("welcome", 2, 2, 2, None), ("winback", 1, 5, 0, None)]
    hashes = [one.policy_hash for one in world.ledger.policy_history("demo")]
    assert hashes == [hashlib.md5(document(priority), usedforsecurity=False).hexdigest() for priority in (1, 2, 5)]


def test_a_policy_that_comes_back_is_a_version_of_its_own(world: World) -> None:
    """The same text is stored once; that it was in force twice is known all the same."""
    decide(world, 0, welcome=1)
    decide(world, 1, welcome=2)
    decide(world, 2, welcome=1)

    assert spans(world) == [("welcome", 1, 1, 0, 1), ("welcome", 2, 2, 1, 2), ("welcome", 3, 1, 2, None)]


def test_a_campaign_that_goes_and_comes_back_has_a_gap(world: World) -> None:
    decide(world, 0, welcome=1, winback=5)
    decide(world, 1, welcome=1)
    decide(world, 2, welcome=1, winback=5)

    assert spans(world)[1:] == [("winback", 1, 5, 0, 1), ("winback", 2, 5, 2, None)]


def test_a_tick_that_changes_nothing_writes_nothing(world: World) -> None:
    decide(world, 0, welcome=1)
    events = len(world.events())

    decide(world, 1, welcome=1)

    assert len(world.events()) == events


def test_a_tick_run_again_with_other_policies_takes_the_first_ones_place(world: World) -> None:
    """As its decisions take the place of the first ones; so does a tick before one that was stopped."""
    decide(world, 0, welcome=1)
    decide(world, 2, welcome=2)
    decide(world, 2, welcome=3)
    assert spans(world) == [("welcome", 1, 1, 0, 2), ("welcome", 2, 3, 2, None)]

    decide(world, 1, welcome=1)
    assert spans(world) == [("welcome", 1, 1, 0, None)]


def test_each_source_pack_has_its_own_history(world: World) -> None:
    decide(world, 0, welcome=1)
    decide(world, 1, pack="yammer", welcome=2)

    assert spans(world) == [("welcome", 1, 1, 0, None)]
    assert spans(world, "yammer") == [("welcome", 1, 2, 1, None)]


def test_what_a_version_refers_to_is_kept_and_the_chain_holds(world: World) -> None:
    world.ledger.record_policies("run-0", FIRST, "demo", {"welcome": document(1)}, {content_key(b"Hi"): b"Hi"})

    assert world.ledger.artifact(content_key(b"Hi")) == b"Hi"
    assert world.ledger.verify()["ok"]
    (landed,) = world.ledger.land("demo")["raw_ledger_policies"].to_pylist()
    assert (landed["campaign_id"], landed["policy"], landed["valid_from"]) == ("welcome", '{"priority": 1}', FIRST)


def content_key(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
