"""What the ledger has of a canary: its patterns' fates for the next run, and what became of its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster_project.lifecycle.prompt_canary import Fate, Trial

if TYPE_CHECKING:
    from .conftest import World


def trial(pattern: str, arm: str = "canary", version: str = "v1") -> str:
    return Trial("brief", arm, 0.5, pattern, version, {"writer": "h"}, ("m",)).text  # pyright: ignore[reportArgumentType]


def test_the_worst_of_each_pattern_is_remembered_by_version(world: World) -> None:
    """Drafts of another version, of the other arm, or that a budget prevented say nothing."""
    ids = world.plan(6)
    said = [
        (trial("a"), None, None),
        (trial("a"), "guard:link", "objected"),
        (trial("b"), None, "repaired"),
        (trial("c"), "over_budget", None),
        (trial("d", "standing"), None, "repaired"),
        (trial("e", version="v2"), None, "repaired"),
    ]
    drafts = [
        world.draft(one, trial=text, fallback_reason=reason, caution=caution)
        for one, (text, reason, caution) in zip(ids, said, strict=True)
    ]
    world.ledger.record_drafts(drafts, world.run_id, world.as_of)

    assert world.ledger.canary_fates("brief", "v1") == {"a": Fate(True, True), "b": Fate(True, False)}
    assert world.ledger.canary_fates("other", "v1") == {}
    assert world.ledger.verify()["ok"]


def test_a_changed_trial_is_found_by_verify(world: World) -> None:
    """It is part of what the draft's event commits to."""
    (one,) = world.plan()
    world.ledger.record_drafts([world.draft(one, trial=trial("a"))], world.run_id, world.as_of)
    world.doctor("UPDATE drafts SET trial = 'x'")

    assert world.failed_checks()


def test_what_became_of_each_message_is_told(world: World) -> None:
    """Sent or not, a person's word, and who unsubscribed or complained within a fortnight of it."""
    ids = world.plan(3)
    drafts = [world.draft(one, trial=trial(one), fallback_reason=None) for one in ids[:2]]
    world.ledger.record_drafts([*drafts, world.draft(ids[2])], world.run_id, world.as_of)
    world.ledger.route(dict.fromkeys(ids, "in_review"), world.run_id, world.as_of)
    world.ledger.review(ids[0], "approve", "ana", "fine")
    world.ledger.review(ids[1], "reject", "ana", "no")
    world.release()
    (claim,) = world.claim()
    assert world.mark(claim) is None
    world.outcome(claim)
    world.clock.advance(days=1)
    for reason, message_type in (("unsubscribed", "product_tips"), ("bounced", "account"), ("complained: spam", None)):
        world.ledger.suppress(reason=reason, user_id="u1", message_type=message_type, actor="postrider")
    first, second = world.ledger.tried()

    assert (first.is_sent, first.verdict, first.reasons) == (True, "approved", ("complained", "unsubscribed"))
    assert (second.is_sent, second.verdict, second.reasons) == (False, "rejected", ())
    assert (first.trial["pattern"], first.was_read) == (ids[0], None)
