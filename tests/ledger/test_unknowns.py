"""Messages in doubt: listed with their evidence, settled by somebody's word, never repeated by themselves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dagster_project.ledger import Claim
from dagster_project.lifecycle.errors import InputError, Refusal

if TYPE_CHECKING:
    from .conftest import World


def in_doubt(world: World) -> None:
    world.outcome(world.sending(), "unknown", "dot: connection closed")


def test_a_message_in_doubt_is_listed_with_its_evidence(world: World) -> None:
    in_doubt(world)

    (one,) = world.ledger.unknown()

    assert (one.message_id, one.campaign_id, one.attempt, one.worker) == ("m0001", "welcome", 1, "worker-1")
    assert one.detail == "dot: connection closed"
    assert one.raw is not None
    assert b"Message-ID: <m0001@ledgerline.example>" in one.raw
    assert world.ledger.unknown("yammer") == []


@pytest.mark.parametrize(
    ("word", "state"), [("sent", "sent"), ("rejected", "rejected"), ("not_sent", "approved"), ("resend", "approved")]
)
def test_somebodys_word_settles_it(world: World, word: Any, state: str) -> None:
    in_doubt(world)

    assert world.ledger.settle({"m0001": word}, "ana", "seen in the journal", world.as_of) == 1

    assert world.state() == (state, f"settled:{word}")
    assert world.ledger.unknown() == []
    assert world.failed_checks() == set()
    settled = world.events()[-1]
    assert (settled["kind"], settled["actor"]) == ("settled", "ana")
    assert "journal" not in settled["payload"], "a person's words are erasable: the chain has their commitment"


@pytest.mark.parametrize("word", ["not_sent", "resend"])
def test_what_may_go_out_again_is_claimed_and_sent_under_the_next_attempt(world: World, word: Any) -> None:
    in_doubt(world)
    world.ledger.settle({"m0001": word}, "ana", "asked the provider", world.as_of)

    (claim,) = world.claim()
    assert world.mark(claim) is None
    world.outcome(claim)

    assert world.state() == ("sent", None)
    assert world.failed_checks(accepted={"m0001": 1}) == set()
    twice = world.failed_checks(accepted={"m0001": 2})
    assert twice == (set() if word == "resend" else {"I2"}), "only a resend may be accepted twice"


def test_what_is_not_in_doubt_cannot_be_settled(world: World) -> None:
    in_doubt(world)
    world.ledger.settle({"m0001": "sent"}, "ana", "journal", world.as_of)
    events = world.events()

    with pytest.raises(Refusal, match="is sent, not unknown"):
        world.ledger.settle({"m0001": "not_sent"}, "ben", "no, it was not", world.as_of)
    with pytest.raises(InputError, match="allowed: sent, rejected, not_sent, resend"):
        world.ledger.settle({"m0001": "perhaps"}, "ben", "who knows", world.as_of)  # type: ignore[dict-item]
    with pytest.raises(InputError, match="m9999 is not in the ledger"):
        world.ledger.settle({"m9999": "sent"}, "ben", "typo", world.as_of)

    assert world.events() == events


WORDS = ("Hello", "Hello\n", "<p>Hello</p>")


def left_by(world: World, *workers: str) -> list[Claim]:
    """Messages that these workers were sending when they were lost, m0001 by the first."""
    world.released(len(workers))
    claims = [claim for worker in workers for claim in world.claim(1, worker)]
    assert [world.mark(claim) for claim in claims] == [None] * len(workers)
    world.clock.advance(minutes=5)
    assert world.ledger.extend_claims("another", 60) == len(workers)
    return claims


def test_what_was_put_into_the_inbox_is_sent_and_what_was_not_goes_out_again(world: World) -> None:
    """A worker that was lost after the first put and before the second: both are certain, and nobody is asked."""
    left_by(world, "in_app:run-1:host:7", "in_app:run-1:host:7")
    assert world.ledger.deliver_to_inbox("m0001", *WORDS)

    assert world.ledger.settle_by_inbox(world.as_of) == 2

    assert world.state("m0001") == ("sent", "settled:sent")
    assert world.state("m0002") == ("approved", "settled:not_sent")
    assert world.ledger.unknown() == []
    assert "by_inbox" in world.ledger.story("m0001")["attempts"][0]["detail"]
    assert world.failed_checks(accepted={"m0001": 1}) == set()
    assert world.ledger.settle_by_inbox(world.as_of) == 0


@pytest.mark.parametrize(
    "worker", ["smtp:run-1:host:7", "worker-1", "in_app", "inXapp:run-1:host:7", "deliver:in_app:7"]
)
def test_that_a_mail_is_not_in_the_inbox_says_nothing_of_it(world: World, worker: str) -> None:
    """Taken for not sent, a mail that did go out would go out again."""
    left_by(world, worker)
    events = world.events()

    assert world.ledger.settle_by_inbox(world.as_of) == 0
    assert (world.state(), world.events()) == (("unknown", "worker_lost"), events)


def test_a_put_of_which_nobody_heard_is_settled_too(world: World) -> None:
    """The connection was lost at the commit, twice: the worker lives and says that it does not know."""
    world.released(1)
    (claim,) = world.claim(1, "in_app:run-1:host:7")
    world.mark(claim)
    world.ledger.deliver_to_inbox("m0001", *WORDS)
    world.outcome(claim, "unknown", "inbox: connection lost")

    assert world.ledger.settle_by_inbox(world.as_of) == 1
    assert world.state() == ("sent", "settled:sent")


def test_a_worker_that_was_only_late_is_refused_once_its_message_is_settled(world: World) -> None:
    (late,) = left_by(world, "in_app:run-1:host:7")
    world.ledger.settle_by_inbox(world.as_of)

    with pytest.raises(Refusal, match="m0001 is approved: only what is being sent"):
        world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert world.outcome(late, "rejected") == ["m0001"], "no longer its message to tell of"
    assert world.state() == ("approved", "settled:not_sent")

    (claim,) = world.claim(1, "in_app:run-1:host:8")
    assert world.mark(claim) is None
    assert world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert world.outcome(claim) == []
    assert world.failed_checks(accepted={"m0001": 1}) == set()


def test_a_late_put_and_the_settlement_never_contradict_each_other(world: World) -> None:
    """At the same moment, thirty times: what is in the inbox is sent, what is refused is approved."""
    late = left_by(world, *["in_app:run-1:host:7"] * 30)
    together = threading.Barrier(2)

    def put(claim: Claim) -> bool:
        together.wait()
        try:
            return world.ledger.deliver_to_inbox(claim.message.message_id, *WORDS)
        except Refusal:
            return False

    def settle() -> None:
        together.wait()
        world.ledger.settle_by_inbox(world.as_of)

    with ThreadPoolExecutor(2) as pool:
        puts = {}
        for claim in late:
            settling = pool.submit(settle)
            puts[claim.message.message_id] = pool.submit(put, claim).result(timeout=30)
            settling.result(timeout=30)

    for message_id, is_put in puts.items():
        assert world.state(message_id)[0] == ("sent" if is_put else "approved")
    assert world.ledger.taken_by_inbox(puts) == {one for one, is_put in puts.items() if is_put}
    assert world.failed_checks() == set()


def test_a_worker_is_waited_for_until_nothing_depends_on_its_word(world: World) -> None:
    """Its claims too: the commit of a mark can still be on its way to the server when the worker dies."""
    world.released(2)
    assert world.ledger.waiting_for() == frozenset()
    (first,) = world.claim(1, "killed")
    (second,) = world.claim(1, "fine")
    assert world.ledger.waiting_for() == {"killed", "fine"}
    world.mark(first)
    world.mark(second)
    world.outcome(second)
    assert world.ledger.waiting_for() == {"killed"}
    world.clock.advance(minutes=3)
    assert world.ledger.extend_claims("another", 120) == 1
    assert world.ledger.waiting_for() == {"killed"}
    world.ledger.settle({first.message.message_id: "not_sent"}, "ana", "journal", world.as_of)
    assert world.ledger.waiting_for() == frozenset()
