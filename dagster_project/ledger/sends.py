"""Delivering: the mark that fences a send, and what became of it.

The mark commits before the first byte that could make the mail go out, and a message marked so is never claimed again,
whatever becomes of the worker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger import vias
from dagster_project.ledger.bulk import insert_rows, update_rows
from dagster_project.ledger.caps import SentLately
from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.claims import NOT_HELD
from dagster_project.ledger.controls import stopped, suppressed_among
from dagster_project.ledger.database import as_list, listed
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
from dagster_project.lifecycle.bucket import hash_bucket
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Way
from dagster_project.lifecycle.message import REFUSED, Outcome, Result, Sending, State, Via, content_hash

# Doubled with every attempt and up to half as long again, so that a worker's loop over its claims comes to an end.
RETRY_BASE = timedelta(seconds=60)
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


def turn(
    write: Write, results: Sequence[Result], sends: Sequence[Sending], as_of: datetime, way: Way | None = None
) -> tuple[list[str], dict[str, str]]:
    """Record what became of the last sends and commit to the next ones, in one transaction: see `record_outcomes` and
    `mark_sending` for what each of the two returns."""
    # All rows before the head: whoever waited for a row while holding the head could wait for ever.
    held = lock_messages(write, [one.message_id for one in (*results, *sends)])
    foreign = _record(write, results, held, as_of, way) if results else []
    reasons = _mark(write, sends, held, as_of) if sends else {}
    return foreign, reasons


def mark_sending(write: Write, sends: Sequence[Sending], as_of: datetime) -> dict[str, str]:
    """Commit to these sends at once; message_id → reason for those that must not go out. The others must now be sent, once.

    Everything that may have changed since the decision is read here, after the chain head is locked: whatever committed before this
    mark is seen. Suppressed or too late: cancelled. Killed, paused, no longer released, too early or over a frequency cap: back to
    approved, the last two until their time comes. A claim that has passed to another worker, or an envelope that isn't the
    person's, is refused and left as it is. The same mark again, after its commit was answered by silence, changes nothing and
    lets the send go on.
    """
    return turn(write, [], sends, as_of)[1]


def record_outcomes(write: Write, results: Sequence[Result], as_of: datetime, way: Way | None = None) -> list[str]:
    """sending → what became of each; the ids of those whose message has passed out of this worker's hands, left as they are.

    A worker that was given up for lost tells the truth late: unknown → what it says, under the lease it had. The same outcome
    again, after its commit was answered by silence, changes nothing.
    """
    return turn(write, results, [], as_of, way)[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Around:
    """What stands around one message, as of after the lock: person, release, last attempt."""

    address_key: str | None
    domain: str | None
    member_hash: str | None  # of the draft in the release that is in force
    release_expires_at: datetime | None
    outcome: Outcome | None
    lease: int | None
    raw_hash: str | None


def _read_around(connection: sa.Connection, message_ids: Collection[str]) -> dict[str, Around]:
    dialect = connection.dialect.name
    rows = connection.execute(_around(dialect), {"ids": as_list(dialect, message_ids)})
    return {row[0]: Around(*row[1:]) for row in rows}


@cache
def _around(dialect: str) -> sa.Executable:
    return (
        sa.select(
            messages.c.message_id,
            recipients.c.address_key,
            recipients.c.domain,
            release_members.c.draft_hash,
            releases.c.expires_at,
            attempts.c.outcome,
            attempts.c.lease,
            attempts.c.raw_hash,
        )
        .outerjoin_from(messages, recipients)
        .outerjoin(
            release_members,
            sa.and_(
                release_members.c.message_id == messages.c.message_id,
                release_members.c.release_id == messages.c.release_id,
            ),
        )
        .outerjoin(releases, releases.c.release_id == release_members.c.release_id)
        .outerjoin(
            attempts,
            sa.and_(attempts.c.message_id == messages.c.message_id, attempts.c.attempt == messages.c.attempts),
        )
        .where(listed(dialect, messages.c.message_id, "ids"))
    )


def _mark(write: Write, sends: Sequence[Sending], held: Mapping[str, Held], as_of: datetime) -> dict[str, str]:
    by_id = {send.message_id: send for send in sends}
    world = read_world(write, {key: held[key] for key in by_id}, as_of)
    moves: list[Move] = []
    begun: list[dict[str, Any]] = []
    evidence: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    seq = write.next_seq()
    for key in sorted(by_id):
        one, send, beside = held[key], by_id[key], world.around[key]
        raw_hash = content_hash(send.raw)
        if (one.state, one.lease) == ("sending", send.lease) and (beside.outcome, beside.raw_hash) == (None, raw_hash):
            continue
        if (one.state, one.lease) != ("claimed", send.lease) or canonical(send.rcpt_to) != beside.address_key:
            reasons[key] = REFUSED
            continue
        to, reason = world.obstacle(one, send)
        if reason is not None:
            reasons[key] = reason
            changes = NOT_HELD | world.put_off(one, reason)
            moves.append(Move(one, to, "stopped", reason=reason, changes=changes))
            continue
        world.sent_lately.count(one)
        proof = _evidence(one, send, seq + len(moves))
        moves.append(_sending_move(one, proof, raw_hash, send.via))
        evidence.append(proof)
        begun.append(_attempt(one, raw_hash, as_of, write.now) | vias.in_row(send.via))
    move(write, moves, actor=claimed_by(held[sends[0].message_id]), as_of=as_of)
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


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """What may have changed since the decision, read once for a batch of sends."""

    as_of: datetime
    now: datetime
    suppressed: frozenset[str]  # message_ids
    killed: bool
    paused: frozenset[str]  # campaign_ids
    around: Mapping[str, Around]  # by message_id
    sent_lately: SentLately

    def obstacle(self, held: Held, send: Sending) -> tuple[State, str | None]:
        """The state to fall back to and the reason, or no reason."""
        around = self.around[held.message_id]
        expires_at = around.release_expires_at or self.now
        obstacles: tuple[tuple[bool, State, str], ...] = (
            (held.message_id in self.suppressed, "cancelled", "suppressed"),
            (held.send_before is not None and self.as_of > held.send_before, "cancelled", "expired"),
            (self.killed, "approved", "killed"),
            (held.campaign_id in self.paused, "approved", "paused"),
            (around.member_hash is None, "approved", "not_released"),
            (expires_at <= self.now, "approved", "release_expired"),
            (not around.member_hash == held.draft_hash == send.draft_hash, "approved", "draft_changed"),
            (held.send_after is not None and self.as_of < held.send_after, "approved", "too_early"),
            (self.sent_lately.opens_at(held) is not None, "approved", "frequency_capped"),
        )
        for stands, to, reason in obstacles:
            if stands:
                return to, reason
        return "sending", None

    def put_off(self, held: Held, reason: str) -> dict[str, datetime]:
        """The column that keeps a message from being claimed again before its time comes. Claims go by the clock, which may be far
        from `as_of`, so it is so long from now."""
        until = {"too_early": held.send_after, "frequency_capped": self.sent_lately.opens_at(held)}.get(reason)
        return {} if until is None else {"retry_at": self.now + (until - self.as_of)}


def read_world(write: Write, held: Mapping[str, Held], as_of: datetime) -> World:
    """Of these messages, as of after the head is locked."""
    killed, paused = stopped(write.connection)
    return World(
        as_of=as_of,
        now=write.now,
        suppressed=suppressed_among(write.connection, held),
        killed=killed,
        paused=paused,
        around=_read_around(write.connection, held),
        sent_lately=SentLately(write.connection, held.values(), as_of),
    )


def _record(
    write: Write, results: Sequence[Result], held: Mapping[str, Held], as_of: datetime, way: Way | None
) -> list[str]:
    by_id = {result.message_id: result for result in results}
    around = _read_around(write.connection, by_id)
    moves: list[Move] = []
    told: list[dict[str, Any]] = []
    foreign: list[str] = []
    seq = write.next_seq()
    for key in sorted(by_id):
        one, result, beside = held[key], by_id[key], around[key]
        if result.outcome not in AFTER:
            raise InputError(f"outcome {result.outcome!r}; allowed: {', '.join(AFTER)}")
        if (beside.lease, beside.outcome) == (result.lease, result.outcome) and one.state == AFTER[result.outcome]:
            continue
        if (beside.lease, one.lease) != (result.lease, result.lease) or one.state not in ("sending", "unknown"):
            foreign.append(key)
            continue
        row = {"message_id": key, "attempt": one.attempts, "detail": result.detail, "provider_id": result.provider_id}
        payload = {"attempt": one.attempts, "outcome": result.outcome, **vias.in_event(result.via)}
        salt = new_salt()
        payload |= {"commitment": commitment(salt, outcome_fields(row))}
        told.append(row | {"outcome": result.outcome, "salt": salt, "seq": seq + len(moves)})
        changes = _after(result, one, as_of, write.now)
        moves.append(Move(one, AFTER[result.outcome], "outcome", changes=changes, payload=payload))
    move(write, moves, actor=claimed_by(held[results[0].message_id]), as_of=as_of)
    write_outcomes(write, told)
    vias.learn(write, moves, {key: result.via for key, result in by_id.items()})
    if way is not None:
        moved = {one.held.message_id: one.held.campaign_id for one in moves}
        in_order = [result for result in results if result.message_id in moved]
        tally(
            write,
            [(moved[one.message_id], around[one.message_id].domain or "", one.outcome) for one in in_order],
            way,
        )
    return foreign


def write_outcomes(write: Write, told: Sequence[Mapping[str, Any]]) -> None:
    """What the current attempt of each message came to: rows of `attempt_outcomes`."""
    compared = {"message_id": "message_id", "attempt": "attempt"}
    rows = [{**row, "finished_at": write.now} for row in told]
    update_rows(write.connection, attempts, ("outcome", "finished_at"), rows, compared)
    insert_rows(write.connection, attempt_outcomes, told)


def _after(result: Result, held: Held, as_of: datetime, now: datetime) -> dict[str, Any]:
    """The columns of the message that change with an outcome."""
    changes: dict[str, Any] = dict(NOT_HELD)
    if result.outcome == "sent":
        changes["sent_as_of"] = as_of
    if result.outcome == "deferred" or (result.outcome == "not_sent" and not result.may_go_at_once):
        wait = min(RETRY_BASE * 2 ** min(held.attempts - 1, 10), RETRY_MOST)
        spread = hash_bucket(
            f"retry:{held.attempts}", held.message_id
        )  # a server that was down is not met by all at once
        changes["retry_at"] = now + wait * (1 + spread / 2)
    return changes
