"""Delivering: who holds what. A claim only shares out the work; the fence is the `sending` mark (`sends.py`)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.bulk import update_rows
from dagster_project.ledger.chain import Write
from dagster_project.ledger.controls import stopped
from dagster_project.ledger.flow import Canaries, Quotas
from dagster_project.ledger.messages import DRAFT_COLUMNS, MESSAGE_COLUMNS
from dagster_project.ledger.rows import Claim, Message
from dagster_project.ledger.schema import artifacts, attempts, drafts, messages, recipients, releases
from dagster_project.ledger.transitions import HELD_COLUMNS, Held, Move, lock_where, move
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Way
from dagster_project.lifecycle.message import Draft

_DUE_STATES = ("deferred", "approved")
NOT_HELD: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None}


def claim(
    write: Write, worker: str, limit: int, lease_seconds: float, source_pack: str | None, way: Way | None = None
) -> list[Claim]:
    """Up to `limit` messages that may go out now, the first to expire first: released, due, neither killed nor paused, and
    within what the limits of their way out leave. They are counted against these at once.

    A claim whose lease has expired is taken over under a new lease; the old worker's writes then fail. `sending` never is.
    """
    if limit < 1 or lease_seconds <= 0:
        raise InputError(f"claim of {limit} messages for {lease_seconds} s; allowed: at least 1, more than 0 s")
    if stopped(write.connection)[0]:
        return []
    rows = _chosen(write, limit, source_pack, way)
    if not rows:
        return []
    write.lock_head()
    expires = write.now + timedelta(seconds=lease_seconds)
    moves, claims = [], []
    for row in rows:
        lease = write.next_lease()
        held = Held(*row[: len(HELD_COLUMNS)])
        moves.append(
            Move(
                held,
                "claimed",
                "claimed",
                changes={"lease_owner": worker, "lease_expires_at": expires},
                payload={"release_id": held.release_id, "draft_hash": held.draft_hash},
                lease=lease,
            )
        )
        claims.append(_claim(row[len(HELD_COLUMNS) :], lease, write.now))
    move(write, moves, actor=worker)
    return claims


def _chosen(write: Write, limit: int, source_pack: str | None, way: Way | None) -> list[Sequence[Any]]:
    """Rows of `_CLAIM_COLUMNS`. What a limit keeps back is left out of the next look, so that it hides nobody behind it."""
    if way is None:
        return _most_urgent(write, limit, _due(write, source_pack))
    write.lock_head()  # limits are shared: whoever counts, counts alone
    quotas, canaries = Quotas(write, way), Canaries(write, way.flow.canary, "canary")
    shut = {scope.removeprefix("domain:") for scope in quotas.resting if scope.startswith("domain:")}
    chosen: list[Sequence[Any]] = []
    while len(chosen) < limit and f"channel:{way.channel}" not in quotas.resting:
        due = (
            _due(write, source_pack).where(recipients.c.domain.not_in(sorted(shut)))
            if shut
            else _due(write, source_pack)
        )
        for release_id, campaign_id in canaries.shut:
            due = due.where(sa.or_(messages.c.release_id != release_id, messages.c.campaign_id != campaign_id))
        taken = [row[0] for row in chosen]
        if taken:
            due = due.where(messages.c.message_id.not_in(taken))
        seen = len(canaries.shut), len(shut)
        rows = _most_urgent(write, limit - len(chosen), due)
        for row in rows:
            held = Held(*row[: len(HELD_COLUMNS)])
            if row.domain in shut or not canaries.admits(held.release_id, held.campaign_id):
                continue
            if quotas.admits(row.domain):
                chosen.append(row)
            else:
                shut.add(row.domain)
        if not rows or seen == (len(canaries.shut), len(shut)):
            break
    quotas.save()
    canaries.save()
    return chosen


def throttled_until(write: Write, source_pack: str | None, way: Way) -> datetime | None:
    """When the limit or the rest that keeps back the most urgent message ends; None when nothing is kept back by one.

    A canary's wait is not one of them: it ends with a verdict.
    """
    if stopped(write.connection)[0]:
        return None
    due = _due(write, source_pack)
    for release_id, campaign_id in Canaries(write, way.flow.canary, "canary").shut:
        due = due.where(sa.or_(messages.c.release_id != release_id, messages.c.campaign_id != campaign_id))
    rows = _most_urgent(write, 1, due)
    if not rows:
        return None
    quotas, domain = Quotas(write, way), rows[0].domain
    rests = [quotas.resting.get(scope, write.now) for scope in (f"channel:{way.channel}", f"domain:{domain}")]
    return max(quotas.opens_at(domain), *rests)


def _most_urgent(write: Write, limit: int, due: sa.Select[Any]) -> list[Any]:
    """One query per state: each reads the index in order and stops at the limit, however many messages wait."""
    rows: list[Any] = []
    for state in _DUE_STATES:
        rows += write.connection.execute(due.where(messages.c.state == state).limit(limit))
    lost = due.where(messages.c.state == "claimed", messages.c.lease_expires_at <= write.now)
    rows += write.connection.execute(lost.limit(limit))
    return sorted(rows, key=_urgency)[:limit]


_CLAIM_COLUMNS = (
    *HELD_COLUMNS,
    *MESSAGE_COLUMNS,
    recipients.c.email,
    recipients.c.facts,
    *(drafts.c[name].label(f"draft_{name}") for name in DRAFT_COLUMNS),
    artifacts.c.content.label("recipe"),
    recipients.c.domain,
)
_POSITION = {column.name: position for position, column in enumerate(MESSAGE_COLUMNS)}


def _due(write: Write, source_pack: str | None) -> sa.Select[Any]:
    """Messages with recipient, draft and recipe; the rows of `messages` are locked, those that others hold skipped."""
    query = (
        sa.select(*_CLAIM_COLUMNS)
        .join_from(messages, releases)
        .join(recipients)
        .join(
            drafts,
            sa.and_(drafts.c.message_id == messages.c.message_id, drafts.c.revision == messages.c.draft_revision),
        )
        .join(artifacts, artifacts.c.hash == drafts.c.recipe_id)
        .where(
            releases.c.expires_at > write.now,
            sa.or_(messages.c.send_after.is_(None), messages.c.send_after <= releases.c.as_of),
            sa.or_(messages.c.retry_at.is_(None), messages.c.retry_at <= write.now),
        )
        .order_by(messages.c.send_before, messages.c.planned_as_of, messages.c.message_id)
        .with_for_update(of=messages, skip_locked=True)
    )
    _, paused = stopped(write.connection)
    if paused:
        query = query.where(messages.c.campaign_id.not_in(sorted(paused)))
    return query if source_pack is None else query.where(messages.c.source_pack == source_pack)


def _urgency(row: Sequence[Any]) -> tuple[datetime, datetime, str]:
    """What the queries order by; within one state the database says where those without an expiry stand."""
    message = row[len(HELD_COLUMNS) :]
    expiry = message[_POSITION["send_before"]] or datetime.max  # noqa: DTZ901 - times here are naive
    return expiry, message[_POSITION["planned_as_of"]], message[_POSITION["message_id"]]


def _claim(row: Sequence[Any], lease: int, now: datetime) -> Claim:
    """The claim as it stands after the move."""
    values = list(row[: len(MESSAGE_COLUMNS)])
    for name, value in (("state", "claimed"), ("state_reason", None), ("lease", lease), ("updated_at", now)):
        values[_POSITION[name]] = value
    email, facts, *words, recipe, _ = row[len(MESSAGE_COLUMNS) :]
    message = Message(*values, email=email, facts=json.loads(facts))
    return Claim(message, Draft(message.message_id, *words, recipe=json.loads(recipe)), lease)


def release_claims(write: Write, worker: str) -> int:
    """claimed → approved for all that this worker holds and has not begun to send."""
    held = lock_where(write, messages.c.lease_owner == worker, messages.c.state == "claimed")
    move(write, [Move(one, "approved", "unclaimed", changes=NOT_HELD) for one in held], actor=worker)
    return len(held)


def extend_claims(write: Write, worker: str, lease_seconds: float) -> None:
    """The worker is alive: its leases end `lease_seconds` from now. Leases are no part of the chain, only their numbers."""
    write.connection.execute(
        sa.update(messages)
        .where(messages.c.lease_owner == worker, messages.c.state.in_(("claimed", "sending")))
        .values(lease_expires_at=write.now + timedelta(seconds=lease_seconds))
    )


def doubt_lost(write: Write) -> int:
    """sending → unknown where the lease is over: its worker is gone, and nobody knows whether the mail went out.

    Should the worker be alive after all, its outcome still counts (`sends.record_outcomes`).
    """
    held = lock_where(write, messages.c.state == "sending", messages.c.lease_expires_at <= write.now, skip_locked=True)
    if not held:
        return 0
    moves = [
        Move(one, "unknown", "lost", reason="worker_lost", changes=NOT_HELD, payload={"attempt": one.attempts})
        for one in held
    ]
    move(write, moves, actor="postrider")
    keys = [{"was_id": one.message_id, "was_attempt": one.attempts, "finished_at": write.now} for one in held]
    rows = [row | {"outcome": "unknown"} for row in keys]
    update_rows(
        write.connection, attempts, ("outcome", "finished_at"), rows, {"message_id": "was_id", "attempt": "was_attempt"}
    )
    return len(held)


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """What could be claimed later: how many messages, and when the first of them is due again (None: not by itself)."""

    messages: int
    due_at: datetime | None


def waiting(connection: sa.Connection, now: datetime, source_pack: str | None) -> Waiting:
    """Released messages whose next attempt is put off, and until when at the earliest."""
    query = (
        sa.select(sa.func.count(), sa.func.min(messages.c.retry_at))
        .join_from(messages, releases)
        .where(
            messages.c.state.in_(_DUE_STATES), messages.c.retry_at > now, releases.c.expires_at > messages.c.retry_at
        )
    )
    if source_pack is not None:
        query = query.where(messages.c.source_pack == source_pack)
    count, due_at = connection.execute(query).one()
    return Waiting(count, due_at)
