"""The states of a message: which moves there are, and that there are no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dagster_project.ledger.transitions import CANCELLABLE, LEGAL_MOVES, OPEN, Move, lock_messages, move
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import State

if TYPE_CHECKING:
    from .conftest import World

STATES = get_args(State)
IDS = [f"m{number:04}" for number in range(1, 5)]


def test_every_state_has_its_moves() -> None:
    assert set(LEGAL_MOVES) == set(STATES)
    assert {to for moves in LEGAL_MOVES.values() for to in moves} <= set(STATES)
    assert {state for state, moves in LEGAL_MOVES.items() if "cancelled" in moves} == CANCELLABLE | {
        "claimed",
        "unknown",
    }
    assert OPEN >= CANCELLABLE


@pytest.mark.parametrize("state", STATES)
def test_an_illegal_move_is_refused_and_leaves_no_trace(world: World, state: State) -> None:
    world.plan()
    world.doctor("UPDATE messages SET state = :state", state=state)
    before = world.events()

    for to in set(STATES) - LEGAL_MOVES[state]:
        with (
            pytest.raises(Refusal, match=f"is {state}: it cannot become {to}"),
            world.ledger._database.write() as write,
        ):
            held = lock_messages(write, ["m0001"])["m0001"]
            move(write, [Move(held, to, "test")], actor="test")
    assert world.events() == before
    assert world.state()[0] == state


def test_a_move_from_a_state_that_is_no_longer_true_writes_nothing(world: World) -> None:
    """The compare-and-set: what was read under lock is compared again when it is written."""
    world.drafted()
    before = world.events()
    with pytest.raises(Refusal, match="changed while"), world.ledger._database.write() as write:
        held = lock_messages(write, ["m0001"])["m0001"]
        move(write, [Move(held, "approved", "routed")], actor="one")
        move(write, [Move(held, "cancelled", "cancelled", reason="late")], actor="another")

    assert world.state() == ("drafted", None)
    assert world.events() == before


def test_an_unknown_message_is_an_input_error(world: World) -> None:
    world.plan()

    with pytest.raises(InputError, match="message nobody is not in the ledger"):
        world.ledger.cancel({"m0001": "expired", "nobody": "expired"}, "run-1", world.as_of)
    assert world.state()[0] == "planned"


class Lifecycle(RuleBasedStateMachine):
    """Any caller, any order: the ledger does what its model says or refuses, and always verifies."""

    new_world: Callable[[], Any]

    @initialize()
    def open(self) -> None:
        self.world = self.new_world()
        self.ledger = self.world.ledger
        self.model: dict[str, str] = {}
        self.claims: list[Any] = []
        self.ends: dict[str, datetime] = {}
        self.sent: dict[str, int] = {}
        self.tick = 0
        self.words = 0
        self.ledger.begin_tick(self.world.run_id, self.world.as_of, self.world.pack)

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4))
    def plan(self, ids: list[str]) -> None:
        new = {one for one in ids if one not in self.model}
        planned = self.ledger.plan([self.world.planned(int(one[1:])) for one in ids], "run-1", self.world.as_of, "demo")
        assert planned == len(new)
        self.model |= dict.fromkeys(new, "planned")

    @rule(one=st.sampled_from(IDS))
    def draft(self, one: str) -> None:
        if one not in self.model:
            return
        drafted = self.ledger.record_drafts([self.world.draft(one)], "run-1", self.world.as_of)
        assert drafted == (self.model[one] == "planned")
        self._moved(one, ("planned",), "drafted")

    @rule(one=st.sampled_from(IDS), to=st.sampled_from(["approved", "in_review"]))
    def route(self, one: str, to: Any) -> None:
        if self.model.get(one) in (None, "planned", "drafted"):
            self._attempt(one, ("drafted",), to, lambda: self.ledger.route({one: to}, "run-1", self.world.as_of))
        else:  # routed by another tick, or cancelled: left as it is
            assert set(self.ledger.route({one: to}, "run-1", self.world.as_of)) <= {one}

    @rule(one=st.sampled_from(IDS), verdict=st.sampled_from(["approve", "reject"]))
    def review(self, one: str, verdict: Any) -> None:
        to = "approved" if verdict == "approve" else "cancelled"
        self._attempt(one, ("in_review",), to, lambda: self.ledger.review(one, verdict, "reviewer", "because"))

    @rule(one=st.sampled_from(IDS))
    def edit(self, one: str) -> None:
        self.words += 1
        draft = self.world.draft(one, f"Words {self.words}")
        self._attempt(one, ("in_review", "approved"), "in_review", lambda: self.ledger.edit(draft, "editor", "better"))

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True))
    def cancel(self, ids: list[str]) -> None:
        known = [one for one in ids if one in self.model]
        doomed = [one for one in known if self.model[one] in CANCELLABLE]
        assert self.ledger.cancel(dict.fromkeys(known, "no_longer_qualified"), "run-1", self.world.as_of) == len(doomed)
        self.model |= dict.fromkeys(doomed, "cancelled")

    @rule(passed=st.booleans())
    def release(self, passed: bool) -> None:
        self.world.pass_gates(passed=passed)
        try:
            self.ledger.release("run-1", self.world.as_of, "demo", ["audience", "content"], timedelta(hours=6), "me")
        except Refusal:
            assert not passed
        else:
            assert passed
            lost = [one for one, end in self.ends.items() if end <= self.world.clock.now]
            self.model |= {one: "approved" for one in lost if self.model[one] == "claimed"}

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True))
    def withhold(self, ids: list[str]) -> None:
        known = [one for one in ids if one in self.model]
        self.ledger.withhold(known)
        self.model |= {one: "approved" for one in known if self.model[one] == "claimed"}

    @rule(limit=st.integers(1, 4), seconds=st.sampled_from([10, 1000]))
    def claim(self, limit: int, seconds: int) -> None:
        for claim in self.ledger.claim("worker", limit, seconds):
            assert self.model[claim.message.message_id] in ("approved", "deferred", "claimed")
            self.model[claim.message.message_id] = "claimed"
            self.ends[claim.message.message_id] = self.world.clock.now + timedelta(seconds=seconds)
            self.claims.append(claim)

    @rule(index=st.integers(0, 20))
    def mark(self, index: int) -> None:
        if not self.claims:
            return
        claim = self.claims[index % len(self.claims)]
        who = claim.message.message_id
        try:
            obstacle = self.world.mark(claim)
        except Refusal:
            assert self.model[who] != "claimed" or self._newest(who) is not claim
            return
        assert self.model[who] == "claimed"
        if obstacle is None:
            self.model[who] = "sending"
        else:
            self.model[who] = "cancelled" if obstacle == "suppressed" else "approved"

    @rule(index=st.integers(0, 20), outcome=st.sampled_from(["sent", "rejected", "deferred", "unknown", "not_sent"]))
    def finish(self, index: int, outcome: Any) -> None:
        if not self.claims:
            return
        claim = self.claims[index % len(self.claims)]
        who = claim.message.message_id
        try:
            self.world.outcome(claim, outcome)
        except Refusal:
            assert self.model[who] != "sending" or self._newest(who) is not claim
            return
        assert self.model[who] == "sending"
        self.model[who] = "approved" if outcome == "not_sent" else outcome
        if outcome == "sent":
            self.sent[who] = self.sent.get(who, 0) + 1

    @rule()
    def give_back(self) -> None:
        held = [one for one, state in self.model.items() if state == "claimed"]
        assert self.ledger.release_claims("worker") == len(held)
        self.model |= dict.fromkeys(held, "approved")

    @rule(seconds=st.sampled_from([5, 100, 5000]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds=seconds)

    @rule(what=st.sampled_from(["kill", "pause", "resume", "resume all"]))
    def control(self, what: str) -> None:
        match what:
            case "kill":
                self.ledger.kill("operator", "stop")
            case "pause":
                self.ledger.pause("welcome", "operator", "stop")
            case "resume":
                self.ledger.resume("welcome", "operator", "go")
            case _:
                self.ledger.resume(None, "operator", "go")

    @rule(one=st.sampled_from(IDS[:2]))
    def suppress(self, one: str) -> None:
        self.ledger.suppress(reason="unsubscribed", actor="web", user_id=f"u{int(one[1:])}")

    @invariant()
    def the_model_holds(self) -> None:
        assert {message.message_id: message.state for message in self.ledger.messages()} == self.model
        # What is unknown may or may not have been accepted: say it was, the harder case.
        report = self.ledger.verify(accepted=self.sent)
        assert report["ok"], report

    def _newest(self, who: str) -> Any:
        return next(claim for claim in reversed(self.claims) if claim.message.message_id == who)

    def _attempt(self, one: str, allowed: tuple[str, ...], to: str, call: Callable[[], object]) -> None:
        try:
            call()
        except InputError:
            assert one not in self.model
        except Refusal:
            assert self.model[one] not in allowed
        else:
            assert self.model[one] in allowed
            self.model[one] = to

    def _moved(self, one: str, allowed: tuple[str, ...], to: str) -> None:
        if self.model[one] in allowed:
            self.model[one] = to


@pytest.mark.slow
def test_any_sequence_of_calls_keeps_every_invariant(new_world: Callable[[], World]) -> None:
    Lifecycle.new_world = staticmethod(new_world)  # pyright: ignore[reportAttributeAccessIssue]
    run_state_machine_as_test(
        Lifecycle,
        settings=settings(
            max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
