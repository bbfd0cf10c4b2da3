"""Gates and releases: no fresh passing gate, no release."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dagster_project.ledger.releases import audience_hash, drafts_hash
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import content_hash

if TYPE_CHECKING:
    from .conftest import World


def test_a_release_names_audience_drafts_and_end(world: World) -> None:
    world.routed("approved", 3)
    world.ledger.cancel({"m0002": "expired"}, world.run_id, world.as_of)

    release = world.release()

    drafts = {one: world.draft(one).draft_hash for one in ("m0001", "m0003")}
    assert release.count == 2
    assert release.audience_hash == audience_hash(["m0003", "m0001"]) == content_hash("m0001\nm0003")
    assert release.drafts_hash == drafts_hash(drafts)
    assert release.expires_at == world.clock.now + timedelta(hours=6)
    assert {message.release_id for message in world.ledger.messages(states=["approved"])} == {release.release_id}


def test_an_empty_audience_can_be_released(world: World) -> None:
    world.plan()

    assert world.release().count == 0
    assert world.ledger.verify()["ok"]


def test_a_gate_that_has_not_run_is_named(world: World) -> None:
    world.routed("approved")
    world.pass_gates(["audience"])

    with pytest.raises(Refusal, match="gate content has not run"):
        _release(world)
    assert world.claim() == []


def test_a_failed_gate_is_named_even_if_it_passed_before(world: World) -> None:
    world.routed("approved")
    world.pass_gates()
    world.pass_gates(["content"], passed=False)

    with pytest.raises(Refusal, match="gate content failed"):
        _release(world)
    assert world.claim() == []


def test_a_gate_that_passed_after_it_failed_counts(world: World) -> None:
    world.routed("approved")
    world.pass_gates(passed=False)
    world.pass_gates()

    assert _release(world) == 1


def test_a_gate_that_passed_too_long_ago_is_named(world: World) -> None:
    world.routed("approved")
    world.pass_gates()
    world.clock.advance(hours=6, seconds=1)

    with pytest.raises(Refusal, match="gate audience last passed at 2026-03-02 09:00, longer than 6:00:00 ago"):
        _release(world)


def test_a_gate_of_another_tick_counts_only_near_its_time(world: World) -> None:
    """By the clock both ran just now, but one was about yesterday's people."""
    world.routed("approved")
    world.pass_gates()
    world.ledger.begin_tick("run-2", world.as_of + timedelta(hours=7), "demo")

    with pytest.raises(Refusal, match="gate audience last passed"):
        world.ledger.release("run-2", world.as_of + timedelta(hours=7), "demo", ["audience"], timedelta(hours=6), "me")
    near = world.as_of + timedelta(hours=5)
    world.ledger.release("run-2", near, "demo", ["audience"], timedelta(hours=6), "me")


def test_a_gate_of_another_pack_does_not_count(world: World) -> None:
    world.routed("approved")
    world.ledger.begin_tick("run-y", world.as_of, "yammer")
    world.ledger.record_gate("run-y", world.as_of, "audience", True, [])

    with pytest.raises(Refusal, match="gate audience has not run"):
        _release(world)


def test_a_release_without_required_gates_is_an_input_error(world: World) -> None:
    world.routed("approved")

    with pytest.raises(InputError, match="at least one"):
        world.ledger.release("run-1", world.as_of, "demo", [], timedelta(hours=6), "me")


def test_gates_read_back_in_order(world: World) -> None:
    world.plan()
    world.pass_gates(["audience"], passed=False)
    world.pass_gates(["audience", "content"])

    gates = world.ledger.gates("run-1")
    assert [(gate.stage, gate.passed) for gate in gates] == [("audience", False), ("audience", True), ("content", True)]
    assert gates[0].results == [{"sentence": "rows exist", "failed": 0}]
    assert world.ledger.gates("another") == []


def test_a_deferred_message_goes_under_the_new_release(world: World) -> None:
    world.outcome(world.sending(), "deferred")

    assert world.release().count == 1
    assert len(world.claim()) == 1


def test_what_is_withheld_leaves_under_no_release_not_even_from_a_workers_hands(world: World) -> None:
    """What is being sent is beyond recall; the others leave when a later release names them."""
    ids = world.released(4)
    sending, held = world.claim(), world.claim()
    assert world.mark(sending[0]) is None

    world.ledger.withhold(ids[:3])

    assert world.mark(held[0]) == "refused"
    assert [world.state(one) for one in ids] == [
        ("sending", None), ("approved", "withheld"), ("approved", None), ("approved", None)
    ]  # fmt: skip
    assert [claim.message.message_id for claim in world.claim(9)] == ids[3:]
    assert world.outcome(sending[0]) == []
    assert _release(world) == 2
    assert [claim.message.message_id for claim in world.claim(9)] == ids[1:3]
    assert world.failed_checks() == set()


def test_what_a_dead_worker_held_past_its_release_goes_under_the_next_one(world: World) -> None:
    """Else it would wait in hands that nobody has, for ever; what a living worker holds stays its own."""
    world.released(2)
    world.claim(worker="dead")
    world.clock.advance(hours=6)
    world.pass_gates()
    assert _release(world) == 2

    (claim, _) = world.claim(2)
    world.pass_gates()
    assert _release(world) == 0
    assert world.mark(claim) is None
    assert world.failed_checks() == set()


def _release(world: World) -> int:
    stages = ["audience", "content"]
    return world.ledger.release("run-1", world.as_of, "demo", stages, timedelta(hours=6), "me").count
