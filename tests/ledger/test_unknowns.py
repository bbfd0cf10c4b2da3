"""Messages in doubt: listed with their evidence, settled by somebody's word, never repeated by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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
