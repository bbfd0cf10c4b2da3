"""From verdicts to messages: what to plan, what to withdraw, what a person must see first. Nothing is decided here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from dagster_project.lifecycle.errors import Refusal
from dagster_project.lifecycle.message import PlannedMessage

# A message that waits for its window or its cap may still go out; one that lost or is suppressed may not.
STILL_WANTED = ("send", "hold")
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


def routes(
    drafted: Iterable[OpenMessage], review_policies: Mapping[str, str], cautioned: Collection[str]
) -> dict[str, Literal["approved", "in_review"]]:
    """Where each fresh draft goes: to a person when its policy or a cautious gate says so, else straight on.

    `cautioned` are the campaigns whose audience looked unusual at this tick. A campaign without a known policy
    goes to a person: the cautious side.
    """
    return {
        message.message_id: (
            "approved"
            if review_policies.get(message.campaign_id) == "none" and message.campaign_id not in cautioned
            else "in_review"
        )
        for message in drafted
    }


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
