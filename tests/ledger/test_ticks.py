"""Ticks: time runs forward."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dagster_project.lifecycle.errors import InputError

if TYPE_CHECKING:
    from .conftest import World

HOUR = timedelta(hours=1)


def test_a_tick_before_the_last_one_is_refused(world: World) -> None:
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    world.ledger.finish_tick("run-1", "done", {}, {})

    with pytest.raises(InputError, match=r"before the last tick at 2026-03-02 09:00:00 .*history can't be sent again"):
        world.ledger.begin_tick("run-0", world.as_of - HOUR, "demo")
    world.ledger.begin_tick("run-y", world.as_of - HOUR, "yammer")  # another pack has its own history
    world.ledger.begin_tick("run-2", world.as_of, "demo")  # the same time again is no going back


def test_a_tick_that_a_gate_stopped_before_it_planned_anything_is_in_nobodys_way(world: World) -> None:
    """A mistyped year is refused by the source's gate; the next real tick must not be refused because of it."""
    world.ledger.begin_tick("run-9", world.as_of + 1000 * HOUR, "demo")
    world.ledger.finish_tick("run-9", "stopped", {}, {})

    world.ledger.begin_tick("run-1", world.as_of, "demo")

    assert world.ledger.tick("run-1").as_of == world.as_of


def test_a_run_that_only_delivers_goes_on_from_the_last_tick(world: World) -> None:
    with pytest.raises(InputError, match="no tick is recorded"):
        world.ledger.tick("delivery")
    world.ledger.begin_tick("run-1", world.as_of, "demo")

    assert world.ledger.tick("delivery").run_id == "run-1"


def test_the_last_audience_is_of_a_tick_that_was_done(world: World) -> None:
    assert world.ledger.last_audience("demo") == {}
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    world.ledger.finish_tick("run-1", "done", {"welcome": (10, 3)}, {})
    world.ledger.begin_tick("run-2", world.as_of + HOUR, "demo")
    world.ledger.finish_tick("run-2", "stopped", {"welcome": (99, 9)}, {})

    assert world.ledger.last_audience("demo") == {"welcome": (10, 3)}


def test_the_last_tick_is_the_latest_in_its_own_time(world: World) -> None:
    assert world.ledger.last_tick() is None
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    world.clock.advance(minutes=1)
    world.ledger.begin_tick("run-y", world.as_of - HOUR, "yammer")
    world.ledger.finish_tick("run-1", "done", {"welcome": (10, 3)}, {"verdicts": {"send": 3}})

    last = world.ledger.last_tick()
    assert last is not None
    assert (last.run_id, last.status, last.summary) == ("run-1", "done", {"verdicts": {"send": 3}})
    assert last.finished_at == world.clock.now
    yammer = world.ledger.last_tick("yammer")
    assert yammer is not None
    assert (yammer.run_id, yammer.status, yammer.finished_at) == ("run-y", "running", None)


def test_a_run_begun_again_goes_on_but_not_at_another_time(world: World) -> None:
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    world.ledger.finish_tick("run-1", "failed", {"welcome": (1, 1)}, {})
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    world.ledger.finish_tick("run-1", "done", {"welcome": (2, 2)}, {})

    assert world.ledger.land("demo")["raw_ledger_ticks"].to_pylist()[0]["candidates"] == 2
    with pytest.raises(InputError, match="run run-1 is already recorded"):
        world.ledger.begin_tick("run-1", world.as_of + HOUR, "demo")


def test_an_unknown_tick_or_status_is_an_input_error(world: World) -> None:
    with pytest.raises(InputError, match="run run-1 is not in the ledger"):
        world.ledger.finish_tick("run-1", "done", {}, {})
    with pytest.raises(InputError, match="allowed: done, stopped, failed"):
        world.ledger.finish_tick("run-1", "fine", {}, {})  # pyright: ignore[reportArgumentType]


def test_a_tick_that_changed_nothing_has_left_all_as_it_was(world: World) -> None:
    """Its own borders are no change; without a tick, or while one runs, nobody can say so."""
    assert not world.ledger.left_all_as_it_was("run-1")
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    world.ledger.record_gate("run-1", world.as_of, "ingest", passed=True, results=[])
    world.ledger.finish_tick("run-1", "done", {"welcome": (10, 3)}, {})

    assert world.ledger.left_all_as_it_was("run-1")
    assert not world.ledger.left_all_as_it_was("run-0")


@pytest.mark.parametrize("when", ["in the tick", "after the tick"])
@pytest.mark.parametrize("what", ["suppressed", "paused", "planned"])
def test_whatever_is_recorded_is_a_change(world: World, when: str, what: str) -> None:
    """A suppression, a switch, a message: each may change what a tick decides."""
    changes = {
        "suppressed": lambda: world.ledger.suppress(reason="complaint", actor="ana", address="a@b.example"),
        "paused": lambda: world.ledger.pause("welcome", "ana", "typo"),
        "planned": lambda: world.ledger.plan([world.planned(1)], "run-1", world.as_of, "demo"),
    }
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    if when == "in the tick":
        changes[what]()
    world.ledger.finish_tick("run-1", "done", {}, {})
    if when == "after the tick":
        changes[what]()

    assert not world.ledger.left_all_as_it_was("run-1")


def test_a_message_on_its_way_is_a_reason_to_tick(world: World) -> None:
    """It may be due by now though nobody has recorded anything: only the clock moved."""
    world.ledger.begin_tick("run-1", world.as_of, "demo")
    world.ledger.plan([world.planned(1)], "run-1", world.as_of, "demo")
    world.ledger.finish_tick("run-1", "done", {}, {})
    world.ledger.begin_tick("run-2", world.as_of, "demo")
    world.ledger.finish_tick("run-2", "done", {}, {})

    assert not world.ledger.left_all_as_it_was("run-2")
    world.ledger.cancel({"m0001": "expired"}, "run-2", world.as_of)
    world.ledger.begin_tick("run-3", world.as_of, "demo")
    world.ledger.finish_tick("run-3", "done", {}, {})

    assert world.ledger.left_all_as_it_was("run-3")
