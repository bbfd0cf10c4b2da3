"""Delivering: claims, the mark that fences a send, and its outcome.

The claim only shares out the work. The fence is the `sending` mark: it commits before the first byte that could make the mail
go out, and a message marked so is never claimed again, whatever becomes of the worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.controls import stopped, suppression_of
from dagster_project.ledger.messages import address_key, read_drafts
from dagster_project.ledger.rows import Claim
from dagster_project.ledger.schema import attempt_evidence, attempts, messages, recipients, release_members, releases
from dagster_project.ledger.transitions import Held, Move, lock_claim, lock_where, move
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import Outcome, State, content_hash

RETRY_BASE = timedelta(
    seconds=60
)  # doubled with every attempt, so that a worker's loop over its claims comes to an end
RETRY_MOST = timedelta(hours=1)
_AFTER: Mapping[Outcome, State] = {
    "sent": "sent",
    "rejected": "rejected",
    "deferred": "deferred",
    "unknown": "unknown",
    "not_sent": "approved",
}


def sending_fields(row: Mapping[str, Any], raw_hash: str) -> dict[str, object]:
    """What the `sending` event commits to."""
    return {name: row[name] for name in ("message_id", "attempt", "mail_from", "rcpt_to")} | {"raw_hash": raw_hash}


def outcome_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of an outcome commits to."""
    return {name: row[name] for name in ("message_id", "attempt", "detail", "provider_id")}


def claim(write: Write, worker: str, limit: int, lease_seconds: float, source_pack: str | None) -> list[Claim]:
    """Up to `limit` messages, oldest first, that may go out now: released, unexpired, due, neither killed nor paused.

    A claim whose lease has expired is taken over under a new lease; the old worker's writes then fail. `sending` never is.
    """
    if limit < 1 or lease_seconds <= 0:
        raise InputError(f"claim of {limit} messages for {lease_seconds} s; allowed: at least 1, more than 0 s")
    killed, paused = stopped(write.connection)
    if killed:
        return []
    due = (
        sa.select(messages.c.message_id)
        .join(releases, releases.c.release_id == messages.c.release_id)
        .where(
            sa.or_(
                messages.c.state.in_(("approved", "deferred")),
                sa.and_(messages.c.state == "claimed", messages.c.lease_expires_at <= write.now),
            ),
            releases.c.expires_at > write.now,
            sa.or_(messages.c.send_after.is_(None), messages.c.send_after <= releases.c.as_of),
            sa.or_(messages.c.retry_at.is_(None), messages.c.retry_at <= write.now),
        )
        .order_by(messages.c.planned_as_of, messages.c.message_id)
        .limit(limit)
        .with_for_update(of=messages, skip_locked=True)
    )
    if paused:
        due = due.where(messages.c.campaign_id.not_in(sorted(paused)))
    if source_pack is not None:
        due = due.where(messages.c.source_pack == source_pack)
    ids = list(write.connection.execute(due).scalars())
    if not ids:
        return []
    held = lock_where(write, messages.c.message_id.in_(ids))
    moves = [_claim_move(write, one, worker, lease_seconds) for one in held]
    move(write, moves, actor=worker)
    pairs = read_drafts(write.connection, message_ids=ids)
    return [Claim(message, draft, message.lease) for message, draft in pairs]


def _claim_move(write: Write, held: Held, worker: str, lease_seconds: float) -> Move:
    expires = write.now + timedelta(seconds=lease_seconds)
    return Move(
        held,
        "claimed",
        "claimed",
        changes={"lease_owner": worker, "lease_expires_at": expires},
        payload={"release_id": held.release_id, "draft_hash": held.draft_hash},
        lease=write.next_lease(),
    )


def mark_sending(write: Write, claimed: Claim, raw: bytes, mail_from: str, rcpt_to: str, as_of: datetime) -> str | None:
    """Commit to the send, or say why not. None: the caller must now send exactly these bytes, once.

    Everything that may have changed since the decision is read here, after the chain head is locked: whatever committed before this
    mark is seen. Suppressed or too late: cancelled. Killed, paused or no longer released: back to approved.
    """
    held = lock_claim(write, claimed.message.message_id, "claimed", claimed.lease)
    to, reason = _obstacle(write, held, claimed, as_of)
    if reason is not None:
        move(write, [Move(held, to, "stopped", reason=reason, changes=_NOT_HELD)], actor=claimed_by(held), as_of=as_of)
        return reason
    key = _key_of(write.connection, held.message_id)
    if address_key(rcpt_to) != key:
        raise Refusal(f"message {held.message_id}: the envelope's recipient is not the person it was decided for")
    number, raw_hash = held.attempts + 1, content_hash(raw)
    evidence: dict[str, Any] = {
        "message_id": held.message_id,
        "attempt": number,
        "mail_from": mail_from,
        "rcpt_to": rcpt_to,
        "raw": raw,
        "salt": new_salt(),
        "seq": write.next_seq(),
    }
    payload = {
        "attempt": number,
        "raw_hash": raw_hash,
        "draft_hash": held.draft_hash,
        "release_id": held.release_id,
        "commitment": commitment(evidence["salt"], sending_fields(evidence, raw_hash)),
    }
    sending = Move(held, "sending", "sending", changes={"attempts": number}, payload=payload)
    move(write, [sending], actor=claimed_by(held), as_of=as_of)
    write.connection.execute(
        sa.insert(attempts),
        {
            "message_id": held.message_id,
            "attempt": number,
            "lease": held.lease,
            "worker": claimed_by(held),
            "release_id": held.release_id,
            "draft_hash": held.draft_hash,
            "raw_hash": raw_hash,
            "as_of": as_of,
            "started_at": write.now,
        },
    )
    write.connection.execute(sa.insert(attempt_evidence), evidence)
    return None


_NOT_HELD: Mapping[str, Any] = {"lease_owner": None, "lease_expires_at": None}


def claimed_by(held: Held) -> str:
    return held.lease_owner or "postrider"


def _key_of(connection: sa.Connection, message_id: str) -> str | None:
    return connection.execute(
        sa.select(recipients.c.address_key).where(recipients.c.message_id == message_id)
    ).scalar_one_or_none()


def _obstacle(write: Write, held: Held, claimed: Claim, as_of: datetime) -> tuple[State, str | None]:
    """The state to fall back to and the reason, or no reason."""
    suppressed = suppression_of(
        write.connection,
        user_id=held.user_id,
        key=_key_of(write.connection, held.message_id),
        message_type=held.message_type,
        channel=held.channel,
    )
    if suppressed is not None:
        return "cancelled", "suppressed"
    if held.send_before is not None and as_of > held.send_before:
        return "cancelled", "expired"
    killed, paused = stopped(write.connection)
    if killed:
        return "approved", "killed"
    if held.campaign_id in paused:
        return "approved", "paused"
    member = write.connection.execute(
        sa.select(release_members.c.draft_hash, releases.c.expires_at)
        .join_from(release_members, releases)
        .where(release_members.c.release_id == held.release_id, release_members.c.message_id == held.message_id)
    ).one_or_none()
    if member is None:
        return "approved", "not_released"
    if member.expires_at <= write.now:
        return "approved", "release_expired"
    if not member.draft_hash == held.draft_hash == claimed.draft.draft_hash:
        return "approved", "draft_changed"
    return "sending", None


def record_outcome(
    write: Write, claimed: Claim, outcome: Outcome, detail: str, provider_id: str | None, as_of: datetime
) -> None:
    """sending → what became of it. Refusal when the message is not in `sending` under this claim's lease."""
    if outcome not in _AFTER:
        raise InputError(f"outcome {outcome!r}; allowed: {', '.join(_AFTER)}")
    held = lock_claim(write, claimed.message.message_id, "sending", claimed.lease)
    which = sa.and_(attempt_evidence.c.message_id == held.message_id, attempt_evidence.c.attempt == held.attempts)
    salt = write.connection.execute(sa.select(attempt_evidence.c.salt).where(which)).scalar_one_or_none() or new_salt()
    told = {"message_id": held.message_id, "attempt": held.attempts, "detail": detail, "provider_id": provider_id}
    changes: dict[str, Any] = dict(_NOT_HELD)
    if outcome == "sent":
        changes["sent_as_of"] = as_of
    if outcome in ("deferred", "not_sent"):
        changes["retry_at"] = write.now + min(RETRY_BASE * 2 ** min(held.attempts - 1, 10), RETRY_MOST)
    payload = {"attempt": held.attempts, "outcome": outcome, "commitment": commitment(salt, outcome_fields(told))}
    seq = write.next_seq()
    finished = Move(held, _AFTER[outcome], "outcome", changes=changes, payload=payload)
    move(write, [finished], actor=claimed_by(held), as_of=as_of)
    write.connection.execute(
        sa.update(attempts)
        .where(attempts.c.message_id == held.message_id, attempts.c.attempt == held.attempts)
        .values(outcome=outcome, finished_at=write.now)
    )
    write.connection.execute(
        sa.update(attempt_evidence).where(which).values(detail=detail, provider_id=provider_id, outcome_seq=seq)
    )


def release_claims(write: Write, worker: str) -> int:
    """claimed → approved for all that this worker holds and has not begun to send."""
    held = lock_where(write, messages.c.lease_owner == worker, messages.c.state == "claimed")
    move(write, [Move(one, "approved", "unclaimed", changes=_NOT_HELD) for one in held], actor=worker)
    return len(held)
