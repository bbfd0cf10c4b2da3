"""What the ledger hands out: immutable rows. Times are UTC and naive."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from dagster_project.lifecycle.message import Draft, State

TickStatus = Literal["running", "done", "stopped", "failed"]
ReviewVerdict = Literal["in_review", "approved", "rejected"]


@dataclasses.dataclass(frozen=True, slots=True)
class TickRow:
    """One tick: one run of one source pack at one `as_of`."""

    run_id: str
    source_pack: str
    as_of: datetime
    status: TickStatus
    summary: Mapping[str, Any]
    started_at: datetime
    finished_at: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Drafted:
    """How a draft was made. `knowledge` is the hash of what its writer looked up; None where it looked up nothing."""

    mode: str
    fallback_reason: str | None
    knowledge: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """One message whose draft was part of a canary of prompts or models, and what became of it."""

    trial: Mapping[str, Any]
    fallback_reason: str | None
    caution: str | None
    verdict: str | None  # a person's: approved, rejected, edited; None: nobody was asked, or nobody has spoken
    is_sent: bool
    was_read: bool | None  # in the in-app inbox; None: not there
    reasons: Sequence[str]  # unsubscribed, complained: within a fortnight of the send


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message as it stands now, with whom it is for. `email` and `facts` are empty once the person is erased."""

    message_id: str
    source_pack: str
    campaign_id: str
    user_id: str
    account_id: str | None
    occurrence_key: str
    decision_id: str
    policy_hash: str
    message_type: str
    channel: str
    variant: str
    locale: str | None
    send_after: datetime | None
    send_before: datetime | None
    caps: str | None
    state: State
    state_reason: str | None
    lease: int  # of the last claim; 0 before the first
    attempts: int
    draft_revision: int  # 0 before the first draft
    draft_hash: str | None
    recipe_id: str | None
    release_id: str | None
    run_id: str  # the tick that planned it
    planned_as_of: datetime
    sent_as_of: datetime | None
    state_as_of: datetime  # the tick of the last change of state; a person's word between ticks leaves it
    updated_at: datetime
    email: str
    facts: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ReviewRow:
    """The review of one message's current draft."""

    message_id: str
    campaign_id: str
    draft_hash: str
    verdict: ReviewVerdict
    reviewer: str | None  # 'policy' when the campaign asks for no review
    reason: str | None
    reviewed_at: datetime | None
    run_id: str | None
    as_of: datetime | None
    requested_at: datetime
    route_reason: str | None  # why it went to a person or not; null: routed before this was kept


@dataclasses.dataclass(frozen=True, slots=True)
class GateRow:
    """One run of one gate."""

    run_id: str
    as_of: datetime
    stage: str
    passed: bool
    results: list[dict[str, Any]]
    recorded_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """The permission to send: these drafts to this audience, until it expires."""

    release_id: str
    run_id: str
    source_pack: str
    as_of: datetime
    count: int
    audience_hash: str
    drafts_hash: str
    approver: str
    recorded_at: datetime
    expires_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """One message held by one worker. Every later write names the lease, and fails when it is no longer the current one."""

    message: Message
    draft: Draft
    lease: int


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What came of one turn of a worker."""

    foreign: Sequence[str]  # ids of results that were no longer this worker's to tell
    obstacles: Mapping[str, str]  # message_id → why it must not go out
    claims: Sequence[Claim]  # for the next turn


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """One control in force. `campaign_id` None means all campaigns."""

    name: Literal["kill", "pause", "rollout"]
    campaign_id: str | None
    value: str
    actor: str
    reason: str
    set_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Suppression:
    """One person (by id, by address, or both) who must not be mailed. None means: every message type, every channel."""

    suppression_id: str
    user_id: str | None
    address: str | None
    message_type: str | None
    channel: str | None
    reason: str
    created_at: datetime
