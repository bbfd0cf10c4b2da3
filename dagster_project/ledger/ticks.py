"""Ticks: what ran, for which pack, at which `as_of`, and how large its audience was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from dagster_project.ledger.chain import Write, canonical_json
from dagster_project.ledger.rows import TickRow
from dagster_project.ledger.schema import events, messages, tick_audience, ticks
from dagster_project.ledger.transitions import LEGAL_MOVES
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash

BORDERS = frozenset({"tick_begun", "gate", "released", "tick_finished"})  # what every tick records, whatever it finds
MOST_BORDERS = 100  # a tick has eight stages with two borders at most
# A message in review waits for a person, whose word is an event.
MOVING = tuple(sorted(state for state, moves in LEGAL_MOVES.items() if moves and state != "in_review"))


def begin(write: Write, run_id: str, as_of: datetime, source_pack: str) -> None:
    """Open a tick. InputError when the pack has a later one that was done or planned a message: effects recorded then are
    not known to a tick before them, so it would send what was already sent. A tick that a gate stopped before it planned
    anything is in nobody's way. The same run begun again (a retry) goes on under the same row."""
    write.lock_head()
    latest = _last_with_effects(write.connection, source_pack)
    if latest is not None and latest.as_of > as_of:
        raise InputError(
            f"as_of {as_of:%Y-%m-%d %H:%M:%S} is before the last tick at {latest.as_of:%Y-%m-%d %H:%M:%S}"
            f" (source {source_pack}); history can't be sent again"
        )
    known = write.connection.execute(sa.select(ticks).where(ticks.c.run_id == run_id)).one_or_none()
    if known is not None and (known.as_of, known.source_pack) != (as_of, source_pack):
        raise InputError(f"run {run_id} is already recorded for {known.source_pack} at {known.as_of:%Y-%m-%d %H:%M:%S}")
    payload = {"source_pack": source_pack, "status": "running"}
    write.append("tick_begun", actor="postrider", run_id=run_id, as_of=as_of, payload=payload)
    if known is None:
        row = {"run_id": run_id, "source_pack": source_pack, "as_of": as_of, "status": "running", "summary": "{}"}
        write.connection.execute(sa.insert(ticks), row | {"started_at": write.now})
    else:
        write.connection.execute(sa.update(ticks).where(ticks.c.run_id == run_id).values(status="running"))


def finish(
    write: Write,
    run_id: str,
    status: Literal["done", "stopped", "failed"],
    audience: Mapping[str, tuple[int, int]],
    summary: Mapping[str, Any],
) -> None:
    """Close a tick with its audience per campaign: (candidates, sends)."""
    if status not in ("done", "stopped", "failed"):
        raise InputError(f"tick status {status!r}; allowed: done, stopped, failed")
    write.lock_head()
    known = write.connection.execute(sa.select(ticks).where(ticks.c.run_id == run_id)).one_or_none()
    if known is None:
        raise InputError(f"run {run_id} is not in the ledger")
    told = canonical_json(dict(summary))
    counts = {campaign: [int(candidates), int(sends)] for campaign, (candidates, sends) in audience.items()}
    payload = {"status": status, "audience": counts, "summary_hash": content_hash(told)}
    write.append("tick_finished", actor="postrider", run_id=run_id, as_of=known.as_of, payload=payload)
    write.connection.execute(
        sa.update(ticks).where(ticks.c.run_id == run_id).values(status=status, summary=told, finished_at=write.now)
    )
    write.connection.execute(sa.delete(tick_audience).where(tick_audience.c.run_id == run_id))
    if counts:
        write.connection.execute(
            sa.insert(tick_audience),
            [
                {"run_id": run_id, "campaign_id": campaign, "candidates": candidates, "sends": sends}
                for campaign, (candidates, sends) in sorted(counts.items())
            ],
        )


def left_all_as_it_was(connection: sa.Connection, run_id: str) -> bool:
    """Is nothing recorded since this tick began but its own borders, and no message on its way that the clock alone may move?
    Read from the end of the chain: every change of a message, suppression, control or review is an event."""
    newest = sa.select(events.c.kind, events.c.run_id).order_by(events.c.seq.desc()).limit(MOST_BORDERS)
    for row in connection.execute(newest):
        if row.run_id != run_id or row.kind not in BORDERS:
            return False
        if row.kind == "tick_begun":
            is_moving = sa.select(messages.c.message_id).where(messages.c.state.in_(MOVING)).limit(1)
            return connection.execute(is_moving).first() is None
    return False


def last(connection: sa.Connection, source_pack: str | None) -> TickRow | None:
    """The tick with the latest `as_of`; of several at one `as_of` the one begun last."""
    row = _last(connection, source_pack)
    return None if row is None else _tick(row)


def of_run(connection: sa.Connection, run_id: str) -> TickRow:
    """The tick with this run id, else the last one of any pack; InputError when nothing has ever run."""
    row = connection.execute(sa.select(ticks).where(ticks.c.run_id == run_id)).one_or_none()
    found = last(connection, None) if row is None else _tick(row)
    if found is None:
        raise InputError(f"run {run_id}: no tick is recorded; a delivery goes on from one")
    return found


def last_audience(connection: sa.Connection, source_pack: str) -> dict[str, tuple[int, int]]:
    """campaign → (candidates, sends) of the last tick of this pack that was done."""
    done = (
        sa.select(ticks.c.run_id)
        .where(ticks.c.source_pack == source_pack, ticks.c.status == "done")
        .order_by(ticks.c.as_of.desc(), ticks.c.started_at.desc())
        .limit(1)
    )
    rows = connection.execute(sa.select(tick_audience).where(tick_audience.c.run_id.in_(done)))
    return {row.campaign_id: (row.candidates, row.sends) for row in rows}


def _tick(row: Any) -> TickRow:
    return TickRow(
        row.run_id, row.source_pack, row.as_of, row.status, json.loads(row.summary), row.started_at, row.finished_at
    )


def _last_with_effects(connection: sa.Connection, source_pack: str) -> Any:
    planned = sa.exists().where(messages.c.run_id == ticks.c.run_id)
    query = sa.select(ticks).where(ticks.c.source_pack == source_pack, sa.or_(ticks.c.status == "done", planned))
    return connection.execute(query.order_by(ticks.c.as_of.desc()).limit(1)).one_or_none()


def _last(connection: sa.Connection, source_pack: str | None) -> Any:
    query = sa.select(ticks).order_by(ticks.c.as_of.desc(), ticks.c.started_at.desc(), ticks.c.run_id.desc()).limit(1)
    if source_pack is not None:
        query = query.where(ticks.c.source_pack == source_pack)
    return connection.execute(query).one_or_none()
