"""Messages in doubt whose transport knows the first request by its key: which may be repeated, and what came of it.

A provider that remembers keys answers the same request with the result of the first one, or carries it out when the first never
came. So a repeat settles a doubt without anybody's word and never makes a second mail; but it may make the first, so whatever would
stop a send stops a repeat. The attempt stays the same attempt. A repeat takes a new lease: from then on the worker that made the
attempt, its note, and earlier repeats have no say any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.bulk import update_rows
from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.claims import NOT_HELD
from dagster_project.ledger.controls import stopped
from dagster_project.ledger.database import among
from dagster_project.ledger.flow import Quotas
from dagster_project.ledger.schema import attempt_evidence, attempts, messages, recipients
from dagster_project.ledger.sends import AFTER, World, outcome_fields, read_world, write_outcomes
from dagster_project.ledger.transitions import HELD_COLUMNS, Held, Move, lock_messages, move
from dagster_project.ledger.vias import in_event
from dagster_project.lifecycle.address import canonical
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Way
from dagster_project.lifecycle.message import Repeat, Result, Sending, Via, content_hash

FIRST_PAUSE = timedelta(seconds=10)  # after the attempt: whoever lost the answer may still be at work on the request
LONGEST_PAUSE = timedelta(minutes=10)  # each pause is as long as the doubt has lasted, up to this
STOPPED_PAUSE = timedelta(minutes=1)  # before looking again at one that something stops
LOOK_AT_ONCE = 500

_first = attempts.alias()
_last = attempts.alias("last_attempt")
# Of the message's first attempt, whatever became of it: it had the same key, and the other side may remember it from there on.
_KNOWN_SINCE = sa.select(sa.func.min(_first.c.started_at)).where(_first.c.message_id == messages.c.message_id)
_COLUMNS = (
    *HELD_COLUMNS,
    messages.c.lease_expires_at,
    _last.c.raw_hash,
    _last.c.started_at,
    _last.c.transport,
    _last.c.idempotency_key,
    _KNOWN_SINCE.scalar_subquery().label("known_since"),
    sa.func.coalesce(recipients.c.domain, "").label("domain"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Whether one message in doubt can be repeated by key now, and until when it could."""

    message_id: str
    until: datetime | None
    obstacle: str | None  # a machine word; None: it can


def _in_doubt(source_pack: str | None) -> sa.Select[Any]:
    query = (
        sa.select(*_COLUMNS)
        .join_from(
            messages,
            _last,
            sa.and_(_last.c.message_id == messages.c.message_id, _last.c.attempt == messages.c.attempts),
        )
        .outerjoin(recipients, recipients.c.message_id == messages.c.message_id)
        .where(messages.c.state == "unknown")
        .order_by(_last.c.started_at, messages.c.message_id)
    )
    return query if source_pack is None else query.where(messages.c.source_pack == source_pack)


def _held(row: sa.Row[Any]) -> Held:
    return Held(*row[: len(HELD_COLUMNS)])


def _until(row: sa.Row[Any], usable: Mapping[str, timedelta]) -> datetime | None:
    if row.idempotency_key is None or row.transport not in usable:
        return None
    return row.known_since + usable[row.transport]


def standing(write: Write, usable: Mapping[str, timedelta], source_pack: str | None, as_of: datetime) -> list[Standing]:
    """Every message in doubt, the oldest attempt first. `usable`: transport → for how long a key is relied upon."""
    rows = list(write.connection.execute(_in_doubt(source_pack)))
    by_id = {row.message_id: row for row in rows}
    world = read_world(write, {key: _held(row) for key, row in by_id.items()}, as_of)
    envelopes = _envelopes(write, by_id)
    found = []
    for key, row in by_id.items():
        until = _until(row, usable)
        obstacle = _unreachable(row, until, write.now) or _stopped_by(world, row, envelopes.get(key))
        found.append(Standing(key, until, obstacle))
    return found


def _unreachable(row: sa.Row[Any], until: datetime | None, now: datetime) -> str | None:
    """Why the other side cannot be asked (now), whatever the message."""
    if row.transport is None:
        return "transport_unknown"
    if row.idempotency_key is None:
        return "no_key"
    if until is None:
        return "other_transport"
    if until <= now:
        return "key_expired"
    return "being_repeated" if row.lease_expires_at is not None and row.lease_expires_at > now else None


_JUDGED_ONCE = frozenset({"too_early", "frequency_capped"})  # when it went first; by now it counts against its own cap


def _stopped_by(world: World, row: sa.Row[Any], envelope: sa.Row[Any] | None) -> str | None:
    """What would stop a send of it at this moment, in the words of `mark_sending`."""
    if envelope is None or canonical(envelope.rcpt_to) != world.around[row.message_id].address_key:
        return "erased"
    send = Sending(row.message_id, row.lease, row.draft_hash, b"", envelope.mail_from, envelope.rcpt_to)
    reason = world.obstacle(_held(row), send)[1]
    return None if reason in _JUDGED_ONCE else reason


def _envelopes(write: Write, message_ids: Collection[str], *more: sa.Column[Any]) -> dict[str, sa.Row[Any]]:
    """message_id → envelope of its last attempt, with further columns if asked for: the bytes are some 15 kB each."""
    rows = write.connection.execute(
        sa.select(attempt_evidence.c.message_id, attempt_evidence.c.mail_from, attempt_evidence.c.rcpt_to, *more)
        .join_from(
            attempt_evidence,
            messages,
            sa.and_(
                attempt_evidence.c.message_id == messages.c.message_id,
                attempt_evidence.c.attempt == messages.c.attempts,
            ),
        )
        .where(among(write.connection, attempt_evidence.c.message_id, message_ids))
    )
    return {row.message_id: row for row in rows}


def begin_repeats(
    write: Write,
    worker: str,
    limit: int,
    lease_seconds: float,
    usable: Mapping[str, timedelta],
    source_pack: str | None,
    as_of: datetime,
    way: Way | None = None,
    message_ids: Collection[str] | None = None,
) -> list[Repeat]:
    """Commit to repeating up to `limit` of them, the oldest first; the caller must now make the requests, each once.

    Without `message_ids` those whose pause is over; with them just these, paused or not. What is held back by a switch, a
    suppression or a limit keeps its place in doubt and is looked at again later.
    """
    if limit < 1 or lease_seconds <= 0:
        raise InputError(f"repeats of {limit} messages for {lease_seconds} s; allowed: at least 1, more than 0 s")
    if not usable or stopped(write.connection)[0]:
        return []
    gate = _Gate(write, as_of, way)
    chosen: list[sa.Row[Any]] = []
    while len(chosen) < limit:
        due = _due(write, worker, usable, source_pack, message_ids).limit(LOOK_AT_ONCE)
        if chosen:
            due = due.where(messages.c.message_id.not_in([row.message_id for row in chosen]))
        rows = list(write.connection.execute(due))
        chosen += gate.let_through(rows, limit - len(chosen))
        if not rows or message_ids is not None:
            break
    gate.close()
    return _begun(write, worker, chosen, write.now + timedelta(seconds=lease_seconds), usable)


class _Gate:
    """Lets through what nothing stops; what something stops is put off, so that it hides nobody behind it."""

    def __init__(self, write: Write, as_of: datetime, way: Way | None) -> None:
        self._write, self._as_of, self._way = write, as_of, way
        write.lock_head()  # what may stop a send is read after this, and limits are shared: whoever counts, counts alone
        self._quotas = Quotas(write, way) if way is not None else None

    def let_through(self, rows: Sequence[sa.Row[Any]], most: int) -> list[sa.Row[Any]]:
        world = read_world(self._write, {row.message_id: _held(row) for row in rows}, self._as_of)
        envelopes = _envelopes(self._write, [row.message_id for row in rows])
        passed: list[sa.Row[Any]] = []
        put_off: dict[str, datetime] = {}
        for row in rows:
            if len(passed) == most:
                break
            if _stopped_by(world, row, envelopes.get(row.message_id)) is not None:
                put_off[row.message_id] = self._write.now + STOPPED_PAUSE
            elif (opens_at := self._throttled_until(row.domain)) is not None:
                put_off[row.message_id] = opens_at
            else:
                passed.append(row)
        pauses = [{"was_id": key, "retry_at": moment} for key, moment in put_off.items()]
        update_rows(self._write.connection, messages, ("retry_at",), pauses, {"message_id": "was_id"})
        return passed

    def close(self) -> None:
        if self._quotas is not None:
            self._quotas.save()

    def _throttled_until(self, domain: str) -> datetime | None:
        """None: it was counted against the limits, and goes."""
        if self._quotas is None or self._way is None:
            return None
        scopes = (f"channel:{self._way.channel}", f"domain:{domain}")
        rests = [self._quotas.resting[scope] for scope in scopes if scope in self._quotas.resting]
        if not rests and self._quotas.admits(domain):
            return None
        return max(self._quotas.opens_at(domain), *rests, self._write.now + timedelta(seconds=1))


def _due(
    write: Write,
    worker: str,
    usable: Mapping[str, timedelta],
    source_pack: str | None,
    message_ids: Collection[str] | None,
) -> sa.Select[Any]:
    """Rows of `_COLUMNS`, locked; those that others hold are skipped. What this very worker holds it may begin anew: it asks again
    when its commit was answered by silence."""
    query = (
        _in_doubt(source_pack)
        .where(
            _last.c.idempotency_key.is_not(None),
            sa.or_(
                *[
                    sa.and_(_last.c.transport == transport, _KNOWN_SINCE.scalar_subquery() > write.now - period)
                    for transport, period in usable.items()
                ]
            ),
            sa.or_(
                messages.c.lease_expires_at.is_(None),
                messages.c.lease_expires_at <= write.now,
                messages.c.lease_owner == worker,
            ),
        )
        .with_for_update(of=messages, skip_locked=True)
    )
    if message_ids is not None:
        return query.where(among(write.connection, messages.c.message_id, message_ids))
    return query.where(
        sa.or_(messages.c.retry_at.is_(None), messages.c.retry_at <= write.now),
        _last.c.started_at <= write.now - FIRST_PAUSE,
    )


def _begun(
    write: Write,
    worker: str,
    chosen: Sequence[sa.Row[Any]],
    expires: datetime,
    usable: Mapping[str, timedelta],
) -> list[Repeat]:
    """The events, the new leases, and what goes out."""
    kept = _envelopes(write, [row.message_id for row in chosen], attempt_evidence.c.raw)
    moves: list[Move] = []
    repeats: list[Repeat] = []
    for row in chosen:
        held, via, proof = _held(row), Via(row.transport, row.idempotency_key), kept[row.message_id]
        raw = bytes(proof.raw)
        if content_hash(raw) != row.raw_hash:  # altered: `verify` says so, and nobody gets them
            continue
        payload = {"attempt": held.attempts, "raw_hash": row.raw_hash, **in_event(via)}
        payload |= {"draft_hash": held.draft_hash, "release_id": held.release_id}
        changes = {"lease_owner": worker, "lease_expires_at": expires}
        lease = write.next_lease()
        moves.append(Move(held, "unknown", "repeating", "repeating", changes, payload, lease))
        until = min(row.known_since + usable[row.transport], expires)
        envelope = (proof.mail_from, proof.rcpt_to)
        repeats.append(Repeat(held.message_id, held.campaign_id, lease, raw, *envelope, via, until))
    move(write, moves, actor=worker)
    leases = [{"was_id": one.held.message_id, "was_attempt": one.held.attempts, "lease": one.lease} for one in moves]
    keys = {"message_id": "was_id", "attempt": "was_attempt"}
    update_rows(write.connection, attempts, ("lease",), leases, keys)
    return repeats


def record_repeats(write: Write, results: Sequence[Result], as_of: datetime) -> list[str]:
    """unknown → sent or rejected, as the other side now said of the first request; `unknown`: it stays in doubt, and is asked
    again after a pause. Returns the ids of those that have been settled or taken over by somebody else: left as they are.

    The same result again, after its commit was answered by silence, changes nothing.
    """
    by_id = {result.message_id: result for result in results}
    held = lock_messages(write, by_id)
    started = _started(write, held)
    moves: list[Move] = []
    told: list[dict[str, Any]] = []
    foreign: list[str] = []
    seq = write.next_seq()
    for key, one in held.items():
        result = by_id[key]
        if result.outcome not in ("sent", "rejected", "unknown"):
            raise InputError(f"outcome {result.outcome!r} of a repeat; allowed: sent, rejected, unknown")
        is_ours = one.lease == result.lease
        if is_ours and one.state == AFTER[result.outcome] and one.lease_owner is None:
            continue
        if not is_ours or one.state != "unknown" or one.lease_owner is None:
            foreign.append(key)
            continue
        row = {"message_id": key, "attempt": one.attempts, "detail": result.detail, "provider_id": result.provider_id}
        salt = new_salt()
        payload = {"attempt": one.attempts, "outcome": result.outcome}
        payload |= {"commitment": commitment(salt, outcome_fields(row))}
        told.append(row | {"outcome": result.outcome, "salt": salt, "seq": seq + len(moves)})
        is_open = result.outcome == "unknown"
        pause = min(max(write.now - started[key], FIRST_PAUSE), LONGEST_PAUSE)
        changes: dict[str, Any] = dict(NOT_HELD) | {"retry_at": write.now + pause if is_open else None}
        changes |= {"sent_as_of": as_of} if result.outcome == "sent" else {}
        moves.append(
            Move(one, AFTER[result.outcome], "repeated", "repeated" if is_open else None, changes, payload=payload)
        )
    # Its state stays that of the tick of its attempt: a second run of this tick must find it there, and decide the same.
    move(write, moves, actor=next((one.held.lease_owner or "" for one in moves), "postrider"))
    write_outcomes(write, told)
    return foreign


def _started(write: Write, message_ids: Iterable[str]) -> dict[str, datetime]:
    rows = write.connection.execute(
        sa.select(messages.c.message_id, _last.c.started_at)
        .join_from(
            messages,
            _last,
            sa.and_(_last.c.message_id == messages.c.message_id, _last.c.attempt == messages.c.attempts),
        )
        .where(among(write.connection, messages.c.message_id, list(message_ids)))
    )
    return {row.message_id: row.started_at for row in rows}


def next_repeat(
    connection: sa.Connection, now: datetime, usable: Mapping[str, timedelta], source_pack: str | None
) -> datetime | None:
    """When the first of those that could be repeated is due, or was; None when there is none."""
    if not usable:
        return None
    rows = connection.execute(_in_doubt(source_pack).add_columns(messages.c.retry_at))
    due = [
        max(at for at in (row.retry_at, row.started_at + FIRST_PAUSE, row.lease_expires_at) if at is not None)
        for row in rows
        if (until := _until(row, usable)) is not None and until > now
    ]
    return min(due, default=None)


def being_repeated(write: Write, message_ids: Collection[str]) -> frozenset[str]:
    """Those of these messages whose request is on its way once more at this moment."""
    found = sa.select(messages.c.message_id).where(
        among(write.connection, messages.c.message_id, message_ids),
        messages.c.state == "unknown",
        messages.c.lease_expires_at > write.now,
    )
    return frozenset(write.connection.execute(found).scalars())
