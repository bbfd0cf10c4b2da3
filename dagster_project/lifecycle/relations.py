"""The relations that Python stages leave in the warehouse, as typed Arrow tables: typed also when empty."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from dagster_project.lifecycle.campaign import CampaignPolicy
from dagster_project.lifecycle.message import Draft, content_hash

DRAFTS = pa.schema(
    [(name, pa.string()) for name in ("message_id", "campaign_id", "user_id", "email", "message_type", "legal_basis",
      "locale", "mode", "mode_asked", "fallback_reason", "subject", "preheader", "html", "text", "unsubscribe_url",
      "draft_hash", "recipe_id", "facts", "state", "run_id", "caution")]
    + [("as_of", pa.timestamp("us"))]
)  # fmt: skip
REVIEWS = pa.schema(
    [(name, pa.string()) for name in ("message_id", "campaign_id", "draft_hash", "review_policy", "verdict", "reviewer",
      "reason", "route_reason")]
    + [("reviewed_at", pa.timestamp("us"))]
)  # fmt: skip
RELEASES = pa.schema(
    [(name, pa.string()) for name in ("release_id", "run_id", "audience_hash", "drafts_hash", "approver")]
    + [("messages", pa.int64()), ("as_of", pa.timestamp("us")), ("expires_at", pa.timestamp("us"))]
)  # fmt: skip


class WaitingMessage(Protocol):
    """What these relations take from a message in the ledger."""

    @property
    def message_id(self) -> str: ...
    @property
    def campaign_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def email(self) -> str | None: ...
    @property
    def message_type(self) -> str: ...
    @property
    def facts(self) -> Mapping[str, object] | None: ...
    @property
    def state(self) -> str: ...
    @property
    def draft_hash(self) -> str | None: ...
    @property
    def run_id(self) -> str: ...
    @property
    def planned_as_of(self) -> datetime: ...


class ReviewVerdict(Protocol):
    """What the reviews relation takes from a review in the ledger."""

    @property
    def message_id(self) -> str: ...
    @property
    def draft_hash(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def reviewer(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def reviewed_at(self) -> datetime | None: ...
    @property
    def route_reason(self) -> str | None: ...


class ReleaseRecord(Protocol):
    """What the releases relation takes from a release in the ledger."""

    @property
    def release_id(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def as_of(self) -> datetime: ...
    @property
    def count(self) -> int: ...
    @property
    def audience_hash(self) -> str: ...
    @property
    def drafts_hash(self) -> str: ...
    @property
    def approver(self) -> str: ...
    @property
    def expires_at(self) -> datetime: ...


def draft_rows(
    messages: Iterable[WaitingMessage], drafts: Mapping[str, Draft], policies: Mapping[str, CampaignPolicy]
) -> pa.Table:
    """One row per waiting message; the draft's columns are null where none could be made, which a gate looks for."""
    return pa.Table.from_pylist(
        [
            _draft_row(message, drafts.get(message.message_id), policies.get(message.campaign_id))
            for message in messages
        ],
        schema=DRAFTS,
    )


def _draft_row(message: WaitingMessage, draft: Draft | None, policy: CampaignPolicy | None) -> dict[str, object]:
    row: dict[str, object] = {
        "message_id": message.message_id,
        "campaign_id": message.campaign_id,
        "user_id": message.user_id,
        "email": message.email,
        "message_type": message.message_type,
        "legal_basis": policy.legal_basis if policy else None,
        "facts": json.dumps(message.facts, ensure_ascii=False),
        "state": message.state,
        "run_id": message.run_id,
        "as_of": message.planned_as_of,
    }
    return row if draft is None else row | _draft_columns(draft)


def _draft_columns(draft: Draft) -> dict[str, object]:
    return {
        "locale": draft.locale,
        "mode": draft.mode,
        "mode_asked": draft.mode_asked,
        "fallback_reason": draft.fallback_reason,
        "subject": draft.subject,
        "preheader": draft.preheader,
        "html": draft.html,
        "text": draft.text,
        "unsubscribe_url": draft.unsubscribe_url,
        "draft_hash": draft.draft_hash,
        "recipe_id": content_hash(draft.recipe),
        "caution": draft.caution,
    }


def review_rows(
    messages: Iterable[WaitingMessage], reviews: Iterable[ReviewVerdict], policies: Mapping[str, CampaignPolicy]
) -> pa.Table:
    """One row per draft with the latest word on it: `in_review` where nobody has spoken on this text, `rejected` where the
    message has been cancelled."""
    latest = {review.message_id: review for review in reviews}
    rows = []
    for message in messages:
        review = latest.get(message.message_id)
        policy = policies.get(message.campaign_id)
        rows.append(
            {
                "message_id": message.message_id,
                "campaign_id": message.campaign_id,
                "draft_hash": message.draft_hash,
                "review_policy": policy.review if policy else None,
                "verdict": {"in_review": "in_review", "cancelled": "rejected"}.get(message.state, "approved"),
                "reviewer": review.reviewer if review else None,
                "reason": review.reason if review else None,
                "reviewed_at": review.reviewed_at if review else None,
                "route_reason": review.route_reason if review else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=REVIEWS)


def release_rows(releases: Iterable[ReleaseRecord]) -> pa.Table:
    """One row per release record."""
    return pa.Table.from_pylist(
        [
            {name: release.count if name == "messages" else getattr(release, name) for name in RELEASES.names}
            for release in releases
        ],
        schema=RELEASES,
    )
