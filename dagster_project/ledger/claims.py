"""Delivering: who holds what. A claim only shares out the work; the fence is the `sending` mark (`sends.py`)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.bulk import update_rows
from dagster_project.ledger.chain import Write
from dagster_project.ledger.controls import stopped
from dagster_project.ledger.database import as_list, listed
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
) -> dict[str, int]:
    """message_id → lease of up to `limit` messages that may go out now, the first to expire first: released, due, neither killed nor
    paused, and within what the limits of their way out leave. They are counted against these at once. What they say is read
    afterwards (`read_claims`), when the ledger is free for the next worker.

    A claim whose lease has expired is taken over under a new lease; the old worker's writes then fail. `sending` never is.
    """
    if limit < 1 or lease_seconds <= 0:
        raise InputError(f"claim of {limit} messages for {lease_seconds} s; allowed: at least 1, more than 0 s")
    is_killed, paused = stopped(write.connection)
    if is_killed:
        return {}
    due = _Due(write, source_pack, paused)
    rows = due.most_urgent(limit) if way is None else _within_limits(write, limit, due, way)
    if not rows:
        return {}
    write.lock_head()
    expires = write.now + timedelta(seconds=lease_seconds)
    moves, leases = [], {}
    for row in rows:
        lease = write.next_lease()
        held = _held(row)
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
        leases[held.message_id] = lease
    move(write, moves, actor=worker)
    return leases


def _within_limits(write: Write, limit: int, due: _Due, way: Way) -> list[Sequence[Any]]:
    """Rows of `_CLAIM_COLUMNS`. What a limit keeps back is left out of the next look, so that it hides nobody behind it."""
    write.lock_head()  # limits are shared: whoever counts, counts alone
    quotas, canaries = Quotas(write, way), Canaries(write, way.flow.canary, "canary")
    shut = {scope.removeprefix("domain:") for scope in quotas.resting if scope.startswith("domain:")}
    chosen: list[Sequence[Any]] = []
    while len(chosen) < limit and f"channel:{way.channel}" not in quotas.resting:
        seen = len(canaries.shut), len(shut)
        taken = [row[0] for row in chosen]
        rows = due.most_urgent(limit - len(chosen), domains=shut, canaries=canaries.shut, taken=taken)
        for row in rows:
            held = _held(row)
            if row.domain in shut or not canaries.admits(held.release_id, held.campaign_id, held.attempts):
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
    is_killed, paused = stopped(write.connection)
    if is_killed:
        return None
    shut = Canaries(write, way.flow.canary, "canary").shut
    rows = _Due(write, source_pack, paused).most_urgent(1, canaries=shut)
    if not rows:
        return None
    quotas, domain = Quotas(write, way), rows[0].domain
    rests = [quotas.resting.get(scope, write.now) for scope in (f"channel:{way.channel}", f"domain:{domain}")]
    return max(quotas.opens_at(domain), *rests)


def read_claims(connection: sa.Connection, leases: Mapping[str, int]) -> list[Claim]:
    """Message, recipient and draft of each, in the order given; without those that have left this worker's hands meanwhile."""
    dialect = connection.dialect.name
    found = connection.execute(_claimed(dialect), {"ids": as_list(dialect, leases)})
    claims = {claim.message.message_id: claim for claim in map(_claim, found) if claim.message.state == "claimed"}
    return [claims[key] for key, lease in leases.items() if key in claims and claims[key].lease == lease]


@cache
def _claimed(dialect: str) -> sa.Executable:
    words = [drafts.c[name].label(f"draft_{name}") for name in DRAFT_COLUMNS]
    return (
        sa.select(*MESSAGE_COLUMNS, recipients.c.email, recipients.c.facts, *words, artifacts.c.content)
        .join_from(messages, recipients)
        .join(
            drafts,
            sa.and_(drafts.c.message_id == messages.c.message_id, drafts.c.revision == messages.c.draft_revision),
        )
        .join(artifacts, artifacts.c.hash == drafts.c.recipe_id)
        .where(
            listed(dialect, messages.c.message_id, "ids")
        )  # not by state: SQLite would read every message that is claimed
    )


def _claim(row: Sequence[Any]) -> Claim:
    email, facts, *words, recipe = row[len(MESSAGE_COLUMNS) :]
    message = Message(*row[: len(MESSAGE_COLUMNS)], email=email, facts=json.loads(facts))
    draft = Draft(message.message_id, **dict(zip(DRAFT_COLUMNS, words, strict=True)), recipe=_recipe(recipe))
    return Claim(message, draft, message.lease)


@lru_cache
def _recipe(content: bytes) -> Mapping[str, str]:
    """Of thousands of drafts: whoever reads it must not change it."""
    return json.loads(content)


@dataclasses.dataclass(frozen=True, slots=True)
class _Due:
    """What may go out as of one moment."""

    write: Write
    source_pack: str | None
    paused: Collection[str]

    def most_urgent(
        self,
        limit: int,
        *,
        domains: Collection[str] = (),
        canaries: Collection[tuple[str, str]] = (),
        taken: Collection[str] = (),
    ) -> list[Any]:
        """Up to so many rows, but those of these domains, canaries and ids. One query per state: each reads the index in order and
        stops at the limit, however many messages wait."""
        dialect = self.write.connection.dialect.name
        left_out = {"paused": self.paused, "domains": domains, "taken": taken, "canaries": map("/".join, canaries)}
        given = {name: as_list(dialect, list(values)) for name, values in left_out.items()}
        given |= {"now": self.write.now, "most": limit, "source_pack": self.source_pack}
        rows: list[Any] = []
        for statement in _due_statements(dialect, self.source_pack is not None):
            rows += self.write.connection.execute(statement, given)
        return sorted(rows, key=_urgency)[:limit]


@cache
def _due_statements(dialect: str, is_of_one_pack: bool) -> list[sa.Executable]:
    """By state of the message; the rows of `messages` are locked, those that others hold skipped."""
    now: sa.BindParameter[datetime] = sa.bindparam("now", type_=sa.DateTime)
    query = (
        sa.select(*HELD_COLUMNS, messages.c.planned_as_of, recipients.c.domain)
        .join_from(messages, releases)
        .join(recipients)
        .where(
            releases.c.expires_at > now,
            sa.or_(messages.c.send_after.is_(None), messages.c.send_after <= releases.c.as_of),
            sa.or_(messages.c.retry_at.is_(None), messages.c.retry_at <= now),
            sa.not_(listed(dialect, messages.c.campaign_id, "paused")),
            sa.not_(listed(dialect, recipients.c.domain, "domains")),
            sa.not_(listed(dialect, messages.c.message_id, "taken")),
            sa.or_(
                messages.c.attempts > 0,  # one of the canaries themselves, which is tried again
                sa.not_(listed(dialect, messages.c.release_id + "/" + messages.c.campaign_id, "canaries")),
            ),
        )
        .order_by(messages.c.send_before, messages.c.planned_as_of, messages.c.message_id)
        .limit(sa.bindparam("most"))
        .with_for_update(of=messages, skip_locked=True)
    )
    if is_of_one_pack:
        query = query.where(messages.c.source_pack == sa.bindparam("source_pack"))
    lost = query.where(messages.c.state == "claimed", messages.c.lease_expires_at <= now)
    return [*(query.where(messages.c.state == state) for state in _DUE_STATES), lost]


def _held(row: Sequence[Any]) -> Held:
    return Held(*row[: len(HELD_COLUMNS)])


def _urgency(row: sa.Row[Any]) -> tuple[datetime, datetime, str]:
    """What the queries order by; within one state the database says where those without an expiry stand."""
    return row.send_before or datetime.max, row.planned_as_of, row.message_id  # noqa: DTZ901 - times here are naive


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
