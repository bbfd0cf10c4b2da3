"""Reviews: an approval is of one text, and of no other."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dagster_project.lifecycle.errors import InputError, Refusal

from .conftest import STAGES

if TYPE_CHECKING:
    from .conftest import World


def test_a_campaign_without_review_is_approved_by_policy(world: World) -> None:
    world.routed("approved")

    (review,) = world.ledger.reviews()
    assert (review.verdict, review.reviewer, review.reviewed_at) == ("approved", "policy", world.clock.now)
    assert world.state() == ("approved", None)


def test_a_campaign_with_review_waits_for_a_person(world: World) -> None:
    world.routed("in_review", 2)
    world.ledger.review("m0002", "approve", "ana", "fine")

    (waiting,) = world.ledger.reviews(state="in_review")
    assert (waiting.message_id, waiting.reviewer, waiting.campaign_id) == ("m0001", None, "welcome")
    (approved,) = world.ledger.reviews(message_ids=["m0002"], state="approved")
    assert (approved.reviewer, approved.reason) == ("ana", "fine")
    assert world.ledger.verify()["ok"]


def test_a_rejected_message_is_cancelled_with_the_reason(world: World) -> None:
    world.routed("in_review")
    world.ledger.review("m0001", "reject", "ana", "wrong tone")

    assert world.state() == ("cancelled", "rejected: wrong tone")
    assert [review.verdict for review in world.ledger.reviews()] == ["rejected"]
    assert world.ledger.verify()["ok"]


def test_a_verdict_on_another_text_than_the_current_is_refused(world: World) -> None:
    world.routed("in_review")
    read = world.draft("m0001").draft_hash
    world.ledger.edit(world.draft("m0001", "Better"), "ben", "clearer")

    with pytest.raises(Refusal, match="it was edited since"):
        world.ledger.review("m0001", "approve", "ana", "fine", draft_hash=read)
    world.ledger.review("m0001", "approve", "ana", "fine", draft_hash=world.draft("m0001", "Better").draft_hash)
    assert world.state()[0] == "approved"


def test_an_edit_voids_the_approval_and_the_release(world: World) -> None:
    world.released(2)
    better = world.draft("m0001", "Better")
    world.ledger.edit(better, "ben", "clearer")

    assert world.state()[0] == "in_review"
    assert [claim.message.message_id for claim in world.claim(9)] == ["m0002"]
    world.ledger.review("m0001", "approve", "ana", "fine")
    assert world.claim(9) == []  # approved again, but that text was never released
    world.release()
    (claim,) = world.claim(9)
    assert claim.draft == better
    assert world.mark(claim) is None
    assert [draft["revision"] for draft in world.ledger.story("m0001")["drafts"]] == [1, 2]
    assert world.ledger.verify()["ok"]


def test_an_edit_back_to_an_earlier_text_needs_a_new_approval(world: World) -> None:
    world.routed("approved")
    world.ledger.edit(world.draft("m0001", "Better"), "ben", "clearer")
    world.ledger.edit(world.draft("m0001"), "ben", "no, it was not")

    assert world.state()[0] == "in_review"
    assert [review.verdict for review in world.ledger.reviews()] == ["in_review"]
    assert world.ledger.verify()["ok"]


def test_an_edit_that_changes_nothing_is_refused(world: World) -> None:
    world.routed("approved")

    with pytest.raises(Refusal, match="nothing was changed"):
        world.ledger.edit(world.draft("m0001"), "ben", "no reason")
    assert world.state()[0] == "approved"


def test_what_a_worker_holds_cannot_be_edited(world: World) -> None:
    world.released()
    world.claim()

    with pytest.raises(Refusal, match="is claimed"):
        world.ledger.edit(world.draft("m0001", "Better"), "ben", "clearer")


def test_a_second_verdict_is_refused(world: World) -> None:
    world.routed("in_review")
    world.ledger.review("m0001", "approve", "ana", "fine")

    with pytest.raises(Refusal, match="nothing to review"):
        world.ledger.review("m0001", "reject", "ben", "not fine")


def test_a_verdict_needs_a_known_word_and_a_name(world: World) -> None:
    world.routed("in_review")

    with pytest.raises(InputError, match="allowed: approve, reject"):
        world.ledger.review("m0001", "maybe", "ana", "")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="reviewer's name"):
        world.ledger.review("m0001", "approve", " ", "")


def test_what_another_tick_has_routed_stands(world: World) -> None:
    """Its verdict holds, also where this tick's is another: that is told. A person's word changes no tick's verdict."""
    ids = world.drafted(5)
    world.ledger.route({"m0001": "approved", "m0002": "in_review", "m0003": "in_review"}, "run-2", world.as_of)
    world.ledger.review("m0003", "approve", "ana", "fine")
    world.ledger.cancel({"m0004": "expired"}, "run-2", world.as_of)
    events = world.events()

    assert world.ledger.route(dict.fromkeys(ids, "approved"), world.run_id, world.as_of) == {
        "m0002": "in_review",
        "m0003": "in_review",
        "m0004": "cancelled",
    }
    assert [event["message_id"] for event in world.events()[len(events) :]] == ["m0005"]
    assert [world.state(one)[0] for one in ids] == ["approved", "in_review", "approved", "cancelled", "approved"]
    assert world.ledger.route({"m0001": "in_review", "m0003": "in_review"}, world.run_id, world.as_of) == {
        "m0001": "approved"
    }
    assert world.ledger.verify()["ok"]


def test_routing_is_all_or_nothing(world: World) -> None:
    world.drafted()
    world.ledger.plan([world.planned(2)], world.run_id, world.as_of, world.pack)

    with pytest.raises(Refusal, match="m0002 is planned"):
        world.ledger.route({"m0001": "approved", "m0002": "approved"}, world.run_id, world.as_of)
    with pytest.raises(InputError, match="allowed: approved, in_review"):
        world.ledger.route({"m0001": "sent"}, world.run_id, world.as_of)  # pyright: ignore[reportArgumentType]
    assert world.state("m0001")[0] == "drafted"


def test_what_a_person_approved_asks_for_a_delivery_until_a_release_has_looked_at_it(world: World) -> None:
    """What the release left out would else start a delivery every minute, and each would leave it out again."""
    world.routed("in_review", 3)
    world.pass_gates()
    assert world.ledger.approved_by_people() == []
    for one in ("m0001", "m0002"):
        world.ledger.review(one, "approve", "ana", "fine")
    assert world.ledger.approved_by_people() == ["m0001", "m0002"]

    world.ledger.release("run-1", world.as_of, "demo", STAGES, timedelta(hours=6), "gates", {"m0002"})

    assert world.ledger.approved_by_people() == ["m0001"], "released and due"
    world.ledger.review("m0003", "approve", "ana", "fine")
    assert world.ledger.approved_by_people() == ["m0001", "m0003"]
    claim = world.claim()[0]
    assert world.mark(claim) is None
    world.outcome(claim, "not_sent")
    assert world.ledger.approved_by_people() == ["m0003"], "put off"
    world.clock.advance(minutes=2)
    assert world.ledger.approved_by_people() == ["m0001", "m0003"]
