"""From verdicts to messages: what to plan, what to withdraw, what a person must see first. Nothing is decided here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from dagster_project.lifecycle.bucket import hash_bucket
from dagster_project.lifecycle.errors import Refusal
from dagster_project.lifecycle.message import PlannedMessage
from dagster_project.lifecycle.pipeline import DOUBT

# A message that waits for its window or its cap may still go out; one that lost or is suppressed may not.
STILL_WANTED = ("send", "hold")
SAMPLE = "sample:"  # before the share, in a policy's `review`
ALREADY_SENT = "already_sent"  # of an open message: it was on its way when the ledger landed, and has come back since


class OpenMessage(Protocol):
    """What planning needs to know of a message in the ledger."""

    @property
    def message_id(self) -> str: ...
    @property
    def campaign_id(self) -> str: ...


def planned_messages(verdicts: Iterable[Mapping[str, Any]]) -> list[PlannedMessage]:
    """One planned message per `send` verdict, in the order given."""
    return [
        PlannedMessage(
            message_id=row["message_id"],
            campaign_id=row["campaign_id"],
            user_id=row["user_id"],
            account_id=row["account_id"],
            occurrence_key=row["occurrence_key"],
            decision_id=row["decision_id"],
            policy_hash=row["policy_hash"],
            message_type=row["message_type"],
            channel=row["channel"],
            variant=row["variant"],
            locale=row["locale"],
            email=row["email"],
            facts=json.loads(row["facts"]),
            send_after=row["send_after"],
            send_before=row["send_before"],
            caps=row["caps"],
        )
        for row in verdicts
        if row["verdict"] == "send"
    ]


def as_planned(message: object) -> PlannedMessage:
    """A message of the ledger as it was planned: the same names, nothing added."""
    return PlannedMessage(**{field.name: getattr(message, field.name) for field in dataclasses.fields(PlannedMessage)})


def withdrawn(open_messages: Iterable[OpenMessage], verdicts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Reasons, by message, for unsent messages of earlier ticks that are no longer wanted."""
    now = {row["message_id"]: (row["verdict"], row["reason"]) for row in verdicts}
    reasons: dict[str, str] = {}
    for message in open_messages:
        verdict, reason = now.get(message.message_id, ("suppress", "no_longer_qualified"))
        if verdict not in STILL_WANTED and reason != ALREADY_SENT:
            reasons[message.message_id] = reason
    return reasons


def withheld(open_messages: Iterable[OpenMessage], verdicts: Iterable[Mapping[str, Any]]) -> set[str]:
    """Messages that must not go out as things stand: not now, or never."""
    sends = {row["message_id"] for row in verdicts if row["verdict"] == "send"}
    return {message.message_id for message in open_messages} - sends


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """Where a fresh draft goes, and why: a machine word."""

    to: Literal["approved", "in_review"]
    reason: str


class ReviewedPolicy(Protocol):
    """What of a campaign's policy says which drafts a person sees."""

    @property
    def review(self) -> str: ...
    @property
    def risk(self) -> Literal["low", "high"]: ...


def routes(
    drafted: Iterable[OpenMessage],
    policies: Mapping[str, ReviewedPolicy],
    cautioned: Collection[str],
    cautions: Mapping[str, str],
) -> dict[str, Routing]:
    """Where each fresh draft goes: to a person when its policy, its own caution or a cautious gate says so, else straight on.

    `cautioned` are the campaigns whose audience looked unusual at this tick, `cautions` what the pipeline says of single drafts. A
    campaign without a known policy goes to a person: the cautious side. A sample is drawn by message, the same each time.
    """
    return {
        message.message_id: _routing(
            message,
            policies.get(message.campaign_id),
            message.campaign_id in cautioned,
            cautions.get(message.message_id, ""),
        )
        for message in drafted
    }


def _routing(message: OpenMessage, policy: ReviewedPolicy | None, is_unusual: bool, caution: str) -> Routing:
    if policy is None:
        return Routing("in_review", "no_policy")
    if is_unusual:
        return Routing("in_review", "unusual_audience")
    if policy.review == "all":
        return Routing("in_review", "review_all")
    if policy.review == "none":
        return Routing("approved", "review_none")
    if caution.startswith(DOUBT):  # only a person may let it go
        return Routing("in_review", caution)
    if policy.review == "risk":
        risk = caution or ("high_risk" if policy.risk == "high" else "")
        return Routing("in_review", risk) if risk else Routing("approved", "no_risk")
    share = float(policy.review.removeprefix(SAMPLE))
    is_drawn = hash_bucket(f"review:{message.campaign_id}", message.message_id) < share
    return Routing("in_review", "sampled") if is_drawn else Routing("approved", "not_sampled")


class GateRun(Protocol):
    """What planning needs to know of a gate's run."""

    @property
    def stage(self) -> str: ...
    @property
    def passed(self) -> bool: ...
    @property
    def results(self) -> list[dict[str, Any]]: ...


def cautioned_campaigns(gates: Iterable[GateRun]) -> set[str]:
    """Campaigns that a warning of the audience gate names: their drafts wait for a person in this tick."""
    return {
        campaign
        for gate in gates
        if gate.stage == "decide"
        for line in gate.results
        if not line["passed"]
        for campaign in line.get("campaigns", [])
    }


def is_decided(gates: Iterable[GateRun]) -> bool:
    """Has the audience gate let the decisions of this tick through? Its latest run counts."""
    return {gate.stage: gate.passed for gate in gates}.get("decide", False)


def require_decided(as_of: datetime, gates: Iterable[GateRun]) -> None:
    """Refusal unless the verdicts of the tick at `as_of` have passed their gate. By those of a tick that was stopped before, nobody
    would qualify, and whatever waits would be cancelled for good."""
    if not is_decided(gates):
        raise Refusal(
            f"the tick as of {as_of} has not passed the gate decide: what waits stays as it is until the next tick"
        )
