"""Delivering: claims, the mark that fences a send, and its outcome.

The claim only shares out the work. The fence is the `sending` mark: it commits before the first byte that could make the mail
go out, and a message marked so is never claimed again, whatever becomes of the worker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.bulk import insert_rows, update_rows
from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.controls import stopped, suppressed_among
from dagster_project.ledger.database import among
from dagster_project.ledger.messages import read_drafts
from dagster_project.ledger.rows import Claim
from dagster_project.ledger.schema import attempt_evidence, attempts, messages, recipients, release_members, releases
from dagster_project.ledger.transitions import Held, Move, check_claim, lock_messages, lock_where, move
from dagster_project.lifecycle.address import canonical
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Outcome, Result, Sending, State, content_hash

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
    fields: dict[str, object] = {name: row[name] for name in ("message_id", "attempt", "mail_from", "rcpt_to")}
    return fields | {"raw_hash": raw_hash}


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


def mark_sending(write: Write, sends: Sequence[Sending], as_of: datetime) -> dict[str, str]:
    """Commit to these sends at once; message_id → reason for those that must not go out. The others must now be sent, once.

    Everything that may have changed since the decision is read here, after the chain head is locked: whatever committed before this
    mark is seen. Suppressed or too late: cancelled. Killed, paused or no longer released: back to approved. A claim that has
    passed to another worker, or an envelope that isn't the person's, is refused and left as it is.
    """
    by_id = {send.message_id: send for send in sends}
    held = lock_messages(write, by_id)
    world = _read_world(write, held, as_of)
    moves: list[Move] = []
    begun: list[dict[str, Any]] = []
    evidence: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    seq = write.next_seq()
    for key, one in held.items():
        send = by_id[key]
        if (one.state, one.lease) != ("claimed", send.lease) or canonical(send.rcpt_to) != world.keys.get(key):
            reasons[key] = "refused"
            continue
        to, reason = world.obstacle(one, send)
        if reason is not None:
            reasons[key] = reason
            moves.append(Move(one, to, "stopped", reason=reason, changes=_NOT_HELD))
            continue
        proof = _evidence(one, send, seq + len(moves))
        moves.append(_sending_move(one, proof))
        evidence.append(proof)
        begun.append(_attempt(one, proof, as_of, write.now))
    move(write, moves, actor=_actor(held), as_of=as_of)
    insert_rows(write.connection, attempts, begun)
    insert_rows(write.connection, attempt_evidence, evidence)
    return reasons


def _evidence(held: Held, send: Sending, seq: int) -> dict[str, Any]:
    return {
        "message_id": held.message_id,
        "attempt": held.attempts + 1,
        "mail_from": send.mail_from,
        "rcpt_to": send.rcpt_to,
        "raw": send.raw,
        "salt": new_salt(),
        "seq": seq,
    }


def _sending_move(held: Held, evidence: Mapping[str, Any]) -> Move:
    raw_hash = content_hash(evidence["raw"])
    payload = {
        "attempt": evidence["attempt"],
        "raw_hash": raw_hash,
        "draft_hash": held.draft_hash,
        "release_id": held.release_id,
        "commitment": commitment(evidence["salt"], sending_fields(evidence, raw_hash)),
    }
    return Move(held, "sending", "sending", changes={"attempts": evidence["attempt"]}, payload=payload)


def _attempt(held: Held, evidence: Mapping[str, Any], as_of: datetime, now: datetime) -> dict[str, Any]:
    return {
        "message_id": held.message_id,
        "attempt": evidence["attempt"],
        "lease": held.lease,
        "worker": claimed_by(held),
        "release_id": held.release_id,
        "draft_hash": held.draft_hash,
        "raw_hash": content_hash(evidence["raw"]),
        "as_of": as_of,
        "started_at": now,
    }


_NOT_HELD: Mapping[str, Any] = {"lease_owner": None, "lease_expires_at": None}


def claimed_by(held: Held) -> str:
    return held.lease_owner or "postrider"


def _actor(held: Mapping[str, Held]) -> str:
    return claimed_by(next(iter(held.values())))


@dataclasses.dataclass(frozen=True, slots=True)
class _World:
    """What may have changed since the decision, read once for a batch of sends."""

    as_of: datetime
    now: datetime
    keys: Mapping[str, str]  # message_id → the recipient's address key
    suppressed: frozenset[str]  # message_ids
    killed: bool
    paused: frozenset[str]  # campaign_ids
    members: Mapping[str, tuple[str, datetime]]  # message_id → draft hash and expiry of its release

    def obstacle(self, held: Held, send: Sending) -> tuple[State, str | None]:
        """The state to fall back to and the reason, or no reason."""
        draft_hash, expires_at = self.members.get(held.message_id, ("", self.now))
        obstacles: tuple[tuple[bool, State, str], ...] = (
            (held.message_id in self.suppressed, "cancelled", "suppressed"),
            (held.send_before is not None and self.as_of > held.send_before, "cancelled", "expired"),
            (self.killed, "approved", "killed"),
            (held.campaign_id in self.paused, "approved", "paused"),
            (held.message_id not in self.members, "approved", "not_released"),
            (expires_at <= self.now, "approved", "release_expired"),
            (not draft_hash == held.draft_hash == send.draft_hash, "approved", "draft_changed"),
        )
        for stands, to, reason in obstacles:
            if stands:
                return to, reason
        return "sending", None


def _read_world(write: Write, held: Mapping[str, Held], as_of: datetime) -> _World:
    connection = write.connection
    killed, paused = stopped(connection)
    keys = connection.execute(
        sa.select(recipients.c.message_id, recipients.c.address_key).where(
            among(connection, recipients.c.message_id, held)
        )
    )
    members = connection.execute(
        sa.select(release_members.c.message_id, release_members.c.draft_hash, releases.c.expires_at)
        .join_from(release_members, releases)
        .join(
            messages,
            sa.and_(
                messages.c.message_id == release_members.c.message_id,
                messages.c.release_id == release_members.c.release_id,
            ),
        )
        .where(among(connection, release_members.c.message_id, held))
    )
    return _World(
        as_of=as_of,
        now=write.now,
        keys={row.message_id: row.address_key for row in keys},
        suppressed=suppressed_among(connection, held),
        killed=killed,
        paused=paused,
        members={row.message_id: (row.draft_hash, row.expires_at) for row in members},
    )


def record_outcomes(write: Write, results: Sequence[Result], as_of: datetime) -> None:
    """sending → what became of each, all or none. Refusal when one is not in `sending` under its claim's lease."""
    by_id = {result.message_id: result for result in results}
    held = lock_messages(write, by_id)
    salts = _salts(write.connection, held)
    moves: list[Move] = []
    told: list[dict[str, Any]] = []
    seq = write.next_seq()
    for key, one in held.items():
        result = by_id[key]
        if result.outcome not in _AFTER:
            raise InputError(f"outcome {result.outcome!r}; allowed: {', '.join(_AFTER)}")
        check_claim(one, "sending", result.lease)
        row = {"message_id": key, "attempt": one.attempts, "detail": result.detail, "provider_id": result.provider_id}
        payload = {"attempt": one.attempts, "outcome": result.outcome}
        payload |= {"commitment": commitment(salts.get(key) or new_salt(), outcome_fields(row))}
        told.append(row | {"outcome": result.outcome, "outcome_seq": seq + len(moves), "finished_at": write.now})
        changes = _after(result.outcome, one, as_of, write.now)
        moves.append(Move(one, _AFTER[result.outcome], "outcome", changes=changes, payload=payload))
    move(write, moves, actor=_actor(held), as_of=as_of)
    compared = {"message_id": "was_id", "attempt": "was_attempt"}
    rows = [row | {"was_id": row["message_id"], "was_attempt": row["attempt"]} for row in told]
    update_rows(write.connection, attempts, ("outcome", "finished_at"), rows, compared)
    update_rows(write.connection, attempt_evidence, ("detail", "provider_id", "outcome_seq"), rows, compared)


def _after(outcome: Outcome, held: Held, as_of: datetime, now: datetime) -> dict[str, Any]:
    """The columns of the message that change with an outcome."""
    changes: dict[str, Any] = dict(_NOT_HELD)
    if outcome == "sent":
        changes["sent_as_of"] = as_of
    if outcome in ("deferred", "not_sent"):
        changes["retry_at"] = now + min(RETRY_BASE * 2 ** min(held.attempts - 1, 10), RETRY_MOST)
    return changes


def _salts(connection: sa.Connection, held: Mapping[str, Held]) -> dict[str, str]:
    """message_id → the salt of its current attempt's evidence; none where the person was erased."""
    rows = connection.execute(
        sa.select(attempt_evidence.c.message_id, attempt_evidence.c.salt)
        .join(
            messages,
            sa.and_(
                messages.c.message_id == attempt_evidence.c.message_id,
                messages.c.attempts == attempt_evidence.c.attempt,
            ),
        )
        .where(among(connection, attempt_evidence.c.message_id, held))
    )
    return {row.message_id: row.salt for row in rows}


def release_claims(write: Write, worker: str) -> int:
    """claimed → approved for all that this worker holds and has not begun to send."""
    held = lock_where(write, messages.c.lease_owner == worker, messages.c.state == "claimed")
    move(write, [Move(one, "approved", "unclaimed", changes=_NOT_HELD) for one in held], actor=worker)
    return len(held)
