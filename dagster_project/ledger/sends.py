"""Delivering: the mark that fences a send, and what became of it.

The mark commits before the first byte that could make the mail go out, and a message marked so is never claimed again,
whatever becomes of the worker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger import vias
from dagster_project.ledger.bulk import insert_rows, update_rows
from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.claims import NOT_HELD
from dagster_project.ledger.controls import stopped, suppressed_among
from dagster_project.ledger.database import among
from dagster_project.ledger.flow import tally
from dagster_project.ledger.schema import (
    attempt_evidence,
    attempt_outcomes,
    attempts,
    messages,
    recipients,
    release_members,
    releases,
)
from dagster_project.ledger.transitions import Held, Move, lock_messages, move
from dagster_project.lifecycle.address import canonical
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Way
from dagster_project.lifecycle.message import Outcome, Result, Sending, State, Via, content_hash

RETRY_BASE = timedelta(
    seconds=60
)  # doubled with every attempt, so that a worker's loop over its claims comes to an end
RETRY_MOST = timedelta(hours=1)
AFTER: Mapping[Outcome, State] = {
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


def mark_sending(write: Write, sends: Sequence[Sending], as_of: datetime) -> dict[str, str]:
    """Commit to these sends at once; message_id → reason for those that must not go out. The others must now be sent, once.

    Everything that may have changed since the decision is read here, after the chain head is locked: whatever committed before this
    mark is seen. Suppressed or too late: cancelled. Killed, paused or no longer released: back to approved. A claim that has
    passed to another worker, or an envelope that isn't the person's, is refused and left as it is. The same mark again,
    after its commit was answered by silence, changes nothing and lets the send go on.
    """
    by_id = {send.message_id: send for send in sends}
    held = lock_messages(write, by_id)
    world = read_world(write, held, as_of)
    moves: list[Move] = []
    begun: list[dict[str, Any]] = []
    evidence: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    seq = write.next_seq()
    for key, one in held.items():
        send = by_id[key]
        raw_hash = content_hash(send.raw)
        if (one.state, one.lease) == ("sending", send.lease) and _was_marked(write.connection, one, raw_hash):
            continue
        if (one.state, one.lease) != ("claimed", send.lease) or canonical(send.rcpt_to) != world.keys.get(key):
            reasons[key] = "refused"
            continue
        to, reason = world.obstacle(one, send)
        if reason is not None:
            reasons[key] = reason
            moves.append(Move(one, to, "stopped", reason=reason, changes=NOT_HELD))
            continue
        proof = _evidence(one, send, seq + len(moves))
        moves.append(_sending_move(one, proof, raw_hash, send.via))
        evidence.append(proof)
        begun.append(_attempt(one, raw_hash, as_of, write.now) | vias.in_row(send.via))
    move(write, moves, actor=_actor(held), as_of=as_of)
    insert_rows(write.connection, attempts, begun)
    insert_rows(write.connection, attempt_evidence, evidence)
    return reasons


def _was_marked(connection: sa.Connection, held: Held, raw_hash: str) -> bool:
    """Is the attempt that is open this very one?"""
    found = sa.select(attempts.c.raw_hash).where(
        attempts.c.message_id == held.message_id, attempts.c.attempt == held.attempts, attempts.c.outcome.is_(None)
    )
    return connection.execute(found).scalar_one_or_none() == raw_hash


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


def _sending_move(held: Held, evidence: Mapping[str, Any], raw_hash: str, via: Via | None) -> Move:
    payload = {
        "attempt": evidence["attempt"],
        "raw_hash": raw_hash,
        "draft_hash": held.draft_hash,
        "release_id": held.release_id,
        "commitment": commitment(evidence["salt"], sending_fields(evidence, raw_hash)),
        **vias.in_event(via),
    }
    return Move(held, "sending", "sending", changes={"attempts": evidence["attempt"]}, payload=payload)


def _attempt(held: Held, raw_hash: str, as_of: datetime, now: datetime) -> dict[str, Any]:
    return {
        "message_id": held.message_id,
        "attempt": held.attempts + 1,
        "lease": held.lease,
        "worker": claimed_by(held),
        "release_id": held.release_id,
        "draft_hash": held.draft_hash,
        "raw_hash": raw_hash,
        "as_of": as_of,
        "started_at": now,
    }


def claimed_by(held: Held) -> str:
    return held.lease_owner or "postrider"


def _actor(held: Mapping[str, Held]) -> str:
    return claimed_by(next(iter(held.values())))


@dataclasses.dataclass(frozen=True, slots=True)
class World:
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


def read_world(write: Write, held: Mapping[str, Held], as_of: datetime) -> World:
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
    return World(
        as_of=as_of,
        now=write.now,
        keys={row.message_id: row.address_key for row in keys},
        suppressed=suppressed_among(connection, held),
        killed=killed,
        paused=paused,
        members={row.message_id: (row.draft_hash, row.expires_at) for row in members},
    )


def record_outcomes(write: Write, results: Sequence[Result], as_of: datetime, way: Way | None = None) -> list[str]:
    """sending → what became of each; the ids of those whose message has passed out of this worker's hands, left as they are.

    A worker that was given up for lost tells the truth late: unknown → what it says, under the lease it had. The same outcome
    again, after its commit was answered by silence, changes nothing.
    """
    by_id = {result.message_id: result for result in results}
    held = lock_messages(write, by_id)
    open_attempts = _open_attempts(write.connection, held)
    moves: list[Move] = []
    told: list[dict[str, Any]] = []
    foreign: list[str] = []
    seq = write.next_seq()
    for key, one in held.items():
        result = by_id[key]
        if result.outcome not in AFTER:
            raise InputError(f"outcome {result.outcome!r}; allowed: {', '.join(AFTER)}")
        was, lease = open_attempts.get(key, (None, 0))
        if lease == result.lease and was == result.outcome and one.state == AFTER[result.outcome]:
            continue
        if (lease, one.lease) != (result.lease, result.lease) or one.state not in ("sending", "unknown"):
            foreign.append(key)
            continue
        row = {"message_id": key, "attempt": one.attempts, "detail": result.detail, "provider_id": result.provider_id}
        payload = {"attempt": one.attempts, "outcome": result.outcome, **vias.in_event(result.via)}
        salt = new_salt()
        payload |= {"commitment": commitment(salt, outcome_fields(row))}
        told.append(row | {"outcome": result.outcome, "salt": salt, "seq": seq + len(moves)})
        changes = _after(result.outcome, one, as_of, write.now)
        moves.append(Move(one, AFTER[result.outcome], "outcome", changes=changes, payload=payload))
    move(write, moves, actor=_actor(held), as_of=as_of)
    write_outcomes(write, told)
    vias.learn(write, moves, {key: result.via for key, result in by_id.items()})
    if way is not None:
        campaigns = {one.held.message_id: one.held.campaign_id for one in moves}
        domains = _domains(write.connection, campaigns)
        in_order = [result for result in results if result.message_id in campaigns]
        tally(
            write, [(campaigns[one.message_id], domains.get(one.message_id, ""), one.outcome) for one in in_order], way
        )
    return foreign


def _domains(connection: sa.Connection, message_ids: Collection[str]) -> dict[str, str]:
    """message_id → recipient domain."""
    rows = connection.execute(
        sa.select(recipients.c.message_id, recipients.c.domain).where(
            among(connection, recipients.c.message_id, message_ids)
        )
    )
    return {row.message_id: row.domain for row in rows}


def write_outcomes(write: Write, told: Sequence[Mapping[str, Any]]) -> None:
    """What the current attempt of each message came to: rows of `attempt_outcomes`."""
    compared = {"message_id": "message_id", "attempt": "attempt"}
    rows = [{**row, "finished_at": write.now} for row in told]
    update_rows(write.connection, attempts, ("outcome", "finished_at"), rows, compared)
    insert_rows(write.connection, attempt_outcomes, told)


def _after(outcome: Outcome, held: Held, as_of: datetime, now: datetime) -> dict[str, Any]:
    """The columns of the message that change with an outcome."""
    changes: dict[str, Any] = dict(NOT_HELD)
    if outcome == "sent":
        changes["sent_as_of"] = as_of
    if outcome in ("deferred", "not_sent"):
        changes["retry_at"] = now + min(RETRY_BASE * 2 ** min(held.attempts - 1, 10), RETRY_MOST)
    return changes


def _open_attempts(connection: sa.Connection, held: Mapping[str, Held]) -> dict[str, tuple[Outcome | None, int]]:
    """message_id → outcome so far and lease of its last attempt."""
    rows = connection.execute(
        sa.select(attempts.c.message_id, attempts.c.outcome, attempts.c.lease)
        .join_from(
            messages,
            attempts,
            sa.and_(attempts.c.message_id == messages.c.message_id, attempts.c.attempt == messages.c.attempts),
        )
        .where(among(connection, messages.c.message_id, held))
    )
    return {row.message_id: (row.outcome, row.lease) for row in rows}
