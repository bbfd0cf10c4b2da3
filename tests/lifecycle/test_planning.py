"""What is planned, withdrawn and routed follows from verdicts and policies alone."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.lifecycle.errors import Refusal
from dagster_project.lifecycle.message import PlannedMessage
from dagster_project.lifecycle.planning import (
    as_planned,
    cautioned_campaigns,
    is_decided,
    planned_messages,
    require_decided,
    routes,
    withdrawn,
    withheld,
)

VERDICTS = ("send", "hold", "suppress", "holdout", "lose")


@dataclasses.dataclass(frozen=True)
class Waiting:
    message_id: str
    campaign_id: str = "welcome"


def row(message_id: str, verdict: str, **changes: Any) -> dict[str, Any]:
    """A verdict as the warehouse gives it."""
    return {
        "message_id": message_id,
        "campaign_id": "welcome",
        "user_id": "u1",
        "account_id": None,
        "occurrence_key": "signup",
        "decision_id": "d1",
        "policy_hash": "p1",
        "message_type": "product_tips",
        "channel": "email",
        "variant": "default",
        "locale": "en",
        "email": "a@customer.example",
        "facts": json.dumps({"first_name": None}),
        "send_after": None,
        "send_before": None,
        "caps": None,
        "verdict": verdict,
        "reason": f"because_{verdict}",
    } | changes


@given(st.lists(st.sampled_from(VERDICTS), max_size=20))
def test_only_send_verdicts_become_messages(verdicts: list[str]) -> None:
    """One message per `send`, in order, and none for anything else."""
    rows = [row(f"m{number}", verdict) for number, verdict in enumerate(verdicts)]

    planned = planned_messages(rows)

    assert [message.message_id for message in planned] == [r["message_id"] for r in rows if r["verdict"] == "send"]


def test_facts_keep_their_nulls() -> None:
    """A template must see that a fact is missing, not that it was never asked for."""
    (planned,) = planned_messages([row("m1", "send")])

    assert planned.facts == {"first_name": None}
    assert as_planned(planned) == planned
    assert isinstance(planned, PlannedMessage)


@pytest.mark.parametrize(
    ("verdict", "stays"), [("send", True), ("hold", True), ("suppress", False), ("holdout", False), ("lose", False)]
)
def test_a_waiting_message_goes_when_its_verdict_turns(verdict: str, stays: bool) -> None:
    """What was planned earlier is withdrawn with the reason that now stands against it."""
    reasons = withdrawn([Waiting("m1")], [row("m1", verdict)])

    assert reasons == ({} if stays else {"m1": f"because_{verdict}"})


def test_a_waiting_message_goes_when_its_person_no_longer_qualifies() -> None:
    """Somebody who activated yesterday isn't told today that setup has stalled."""
    assert withdrawn([Waiting("m1")], []) == {"m1": "no_longer_qualified"}


def test_a_message_that_came_back_after_the_ledger_landed_is_not_withdrawn_as_sent() -> None:
    """It was `sending` when the tick read the ledger; the server then refused the connection."""
    assert withdrawn([Waiting("m1")], [row("m1", "suppress", reason="already_sent")]) == {}
    assert withdrawn([Waiting("m1")], [row("m1", "suppress", reason="expired")]) == {"m1": "expired"}


@pytest.mark.parametrize("verdict", [*VERDICTS, None])
def test_only_what_is_to_be_sent_now_keeps_its_release(verdict: str | None) -> None:
    """Who withdrew consent, whose window shut, and who no longer qualifies."""
    verdicts = [] if verdict is None else [row("m1", verdict)]

    assert withheld([Waiting("m1")], verdicts) == (set() if verdict == "send" else {"m1"})
    assert withheld([], verdicts) == set()


@dataclasses.dataclass(frozen=True)
class Policy:
    review: str
    risk: Literal["low", "high"] = "low"


def routed(review: str, caution: str | None = None, risk: Literal["low", "high"] = "low") -> tuple[str, str]:
    """Where the draft of a campaign with this policy goes, and why."""
    cautions = {"m1": caution} if caution else {}
    found = routes([Waiting("m1")], {"welcome": Policy(review, risk)}, set(), cautions)["m1"]
    return found.to, found.reason


def test_drafts_wait_for_a_person_by_policy_by_caution_and_when_in_doubt() -> None:
    """`review: all`, an unusual audience, and a campaign that no policy is known of."""
    drafted = [Waiting("a", "free"), Waiting("b", "strict"), Waiting("c", "odd"), Waiting("d", "unknown")]
    policies = {"free": Policy("none"), "strict": Policy("all"), "odd": Policy("none")}

    found = routes(drafted, policies, {"odd"}, {})

    assert {name: (one.to, one.reason) for name, one in found.items()} == {
        "a": ("approved", "review_none"),
        "b": ("in_review", "review_all"),
        "c": ("in_review", "unusual_audience"),
        "d": ("in_review", "no_policy"),
    }


@pytest.mark.parametrize("caution", [None, "repaired", "objected", "doubt:reviewer:tone"])
@pytest.mark.parametrize("review", ["none", "sample:0.0001", "risk", "all"])
def test_what_may_be_risky_goes_to_a_person_where_the_policy_wants_it(review: str, caution: str | None) -> None:
    """A doubt only a person settles, also where but a sample is looked at; the rest of the cautions `risk` looks at."""
    is_seen = (
        review == "all"
        or (review == "risk" and caution)
        or (review.startswith("sample") and caution == "doubt:reviewer:tone")
    )

    to, reason = routed(review, caution)

    assert (to == "in_review") == bool(is_seen)
    assert (
        reason
        == {
            "none": "review_none",
            "all": "review_all",
            "risk": caution or "no_risk",
            "sample:0.0001": "doubt:reviewer:tone" if is_seen else "not_sampled",
        }[review]
    )


def test_of_a_risky_campaign_every_draft_is_a_risk() -> None:
    """Its policy must say `all` anyway."""
    assert routed("risk", risk="high") == ("in_review", "high_risk")


@given(share=st.integers(1, 9999), first=st.integers(0, 10**6))
@settings(deadline=None, max_examples=50)
def test_a_sample_is_about_its_share_and_always_the_same(share: int, first: int) -> None:
    """Drawn by message; a larger share has all of a smaller one."""
    drafted = [Waiting(f"m{number}") for number in range(first, first + 2000)]

    def seen(part: int) -> set[str]:
        found = routes(drafted, {"welcome": Policy(f"sample:{part / 10_000:.4f}")}, set(), {})
        return {name for name, one in found.items() if one.to == "in_review"}

    found = seen(share)
    assert found == seen(share)
    assert found <= seen(9999)
    assert abs(len(found) / 2000 - share / 10_000) < 0.07


@dataclasses.dataclass(frozen=True)
class GateRun:
    stage: str
    results: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    passed: bool = True


def test_only_the_audience_gates_open_warnings_caution() -> None:
    """A passed line and another stage's warning keep nobody waiting."""
    gates = [
        GateRun("decide", [{"passed": False, "campaigns": ["odd"]}, {"passed": True, "campaigns": ["fine"]}]),
        GateRun("draft", [{"passed": False, "campaigns": ["elsewhere"]}]),
    ]

    assert cautioned_campaigns(gates) == {"odd"}


def test_a_tick_is_decided_once_its_audience_gate_passes() -> None:
    """Not before it has run; a tick that is retried is judged by the latest run; other gates have no say."""
    failed, passed = GateRun("decide", [], passed=False), GateRun("decide", [])

    assert not is_decided([GateRun("score", []), GateRun("decide_tests", [])])
    assert not is_decided([passed, failed])
    assert is_decided([failed, passed, GateRun("draft", [], passed=False)])


@pytest.mark.parametrize(
    ("gates", "decided"),
    [
        ([GateRun("ingest"), GateRun("decide")], True),
        ([GateRun("decide", passed=False), GateRun("decide")], True),
        ([GateRun("decide", passed=False)], False),
        ([GateRun("ingest", passed=False)], False),
        ([GateRun("decide_tests")], False),
        ([], False),
    ],
)
def test_nothing_is_withdrawn_by_verdicts_that_passed_no_gate(gates: list[GateRun], decided: bool) -> None:
    as_of = datetime(2026, 9, 1, 9)
    if decided:
        require_decided(as_of, gates)
        return

    with pytest.raises(Refusal, match="the tick as of 2026-09-01 09:00:00 has not passed the gate decide"):
        require_decided(as_of, gates)
