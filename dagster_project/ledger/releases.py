"""Gates and releases: the permission to send, given only on fresh, passing gates and bound to audience and texts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.bulk import insert_rows
from dagster_project.ledger.chain import Write, canonical_json, commitment, new_salt
from dagster_project.ledger.claims import NOT_HELD
from dagster_project.ledger.database import among
from dagster_project.ledger.flow import begin_canaries
from dagster_project.ledger.rows import GateRow, Release
from dagster_project.ledger.schema import gates, messages, release_members, releases, ticks
from dagster_project.ledger.transitions import Held, Move, lock_messages, lock_where, move
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.flow import Canary
from dagster_project.lifecycle.message import content_hash


def audience_hash(message_ids: Iterable[str]) -> str:
    """SHA-256 over the sorted message ids, one per line."""
    return content_hash("\n".join(sorted(message_ids)))


def drafts_hash(drafts: Mapping[str, str | None]) -> str:
    """SHA-256 over the sorted `message_id:draft_hash`, one per line."""
    return content_hash("\n".join(sorted(f"{message_id}:{draft}" for message_id, draft in drafts.items())))


def gate_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a gate commits to."""
    return {name: row[name] for name in ("run_id", "stage", "passed", "results")}


def record_gate(
    write: Write, run_id: str, as_of: datetime, stage: str, passed: bool, results: list[dict[str, Any]]
) -> None:
    """One run of one gate, passed or not."""
    pack = write.connection.execute(sa.select(ticks.c.source_pack).where(ticks.c.run_id == run_id)).scalar_one_or_none()
    row: dict[str, Any] = {
        "run_id": run_id,
        "source_pack": pack,
        "as_of": as_of,
        "stage": stage,
        "passed": bool(passed),
        "results": canonical_json(results),
        "recorded_at": write.now,
        "salt": new_salt(),
    }
    bound = commitment(row["salt"], gate_fields(row))
    payload = {"stage": stage, "passed": bool(passed), "commitment": bound}
    row["seq"] = write.append("gate", actor="postrider", run_id=run_id, as_of=as_of, payload=payload)
    write.connection.execute(sa.insert(gates), row)


def read_gates(connection: sa.Connection, run_id: str) -> list[GateRow]:
    """All gate runs of one tick, in the order they ran."""
    rows = connection.execute(sa.select(gates).where(gates.c.run_id == run_id).order_by(gates.c.seq))
    return [
        GateRow(row.run_id, row.as_of, row.stage, row.passed, json.loads(row.results), row.recorded_at) for row in rows
    ]


def release(
    write: Write,
    run_id: str,
    as_of: datetime,
    source_pack: str,
    required_stages: Sequence[str],
    valid_for: timedelta,
    approver: str,
    held_back: Collection[str] = (),
    canary: Canary | None = None,
) -> Release:
    """Release all approved (and deferred) messages of the pack, as they are now, but those held back: they keep no release. What a
    dead worker held is approved again.

    Refusal unless the latest run of each required gate passed no longer than `valid_for` ago, by the clock and by `as_of`. A message
    released before is now under this release; its old membership no longer lets it go out.
    """
    if not required_stages:
        raise InputError("a release needs at least one required gate; found none")
    # Other workers take over what a dead one held only while its release stands; past that it would be nobody's for ever.
    is_lost = sa.and_(messages.c.state == "claimed", messages.c.lease_expires_at <= write.now)
    is_waiting = sa.or_(messages.c.state.in_(("approved", "deferred")), is_lost)
    waiting = lock_where(write, messages.c.source_pack == source_pack, is_waiting)
    _take_back(write, [one for one in waiting if one.state == "claimed"], "worker_lost")
    members = [one for one in waiting if one.message_id not in held_back]
    passed = {stage: _fresh_gate(write, stage, run_id, as_of, source_pack, valid_for) for stage in required_stages}
    seq = write.next_seq()
    drafts = {one.message_id: one.draft_hash for one in members}
    released = Release(
        release_id=content_hash(f"release|{seq}|{run_id}")[:32],
        run_id=run_id,
        source_pack=source_pack,
        as_of=as_of,
        count=len(members),
        audience_hash=audience_hash(drafts),
        drafts_hash=drafts_hash(drafts),
        approver=approver,
        recorded_at=write.now,
        expires_at=write.now + valid_for,
    )
    stored = {name: getattr(released, name) for name in Release.__slots__}
    write.append("released", actor=approver, run_id=run_id, as_of=as_of, payload=release_payload(stored, passed))
    write.connection.execute(sa.insert(releases), stored | {"gates": canonical_json(passed), "seq": seq})
    insert_rows(
        write.connection,
        release_members,
        [
            {"release_id": released.release_id, "message_id": one.message_id, "draft_hash": one.draft_hash}
            for one in members
        ],
    )
    if members:
        write.connection.execute(
            sa.update(messages)
            .where(among(write.connection, messages.c.message_id, drafts))
            .values(release_id=released.release_id, retry_at=None)
        )
    if canary is not None:
        begin_canaries(write, released.release_id, Counter(one.campaign_id for one in members), canary)
    _unbind(write, [one.message_id for one in waiting if one.message_id in held_back])
    return released


def withhold(write: Write, message_ids: Collection[str]) -> None:
    """What waits, or is in a worker's hands, loses its release, and its worker the claim. What is being sent is left as it is."""
    held = lock_messages(write, message_ids).values()
    _take_back(write, [one for one in held if one.state == "claimed"], "withheld")
    _unbind(write, [one.message_id for one in held if one.state in ("approved", "deferred", "claimed")])


def _take_back(write: Write, claimed: Iterable[Held], reason: str) -> None:
    """claimed → approved; the mark of whoever held it will be refused."""
    moves = [Move(one, "approved", "unclaimed", reason=reason, changes=NOT_HELD) for one in claimed]
    move(write, moves, actor="postrider")


def _unbind(write: Write, message_ids: Collection[str]) -> None:
    if message_ids:
        these = among(write.connection, messages.c.message_id, message_ids)
        write.connection.execute(sa.update(messages).where(these).values(release_id=None))


def release_payload(row: Mapping[str, Any], passed: Mapping[str, int]) -> dict[str, object]:
    """The event's account of a release: all of it, for it holds nothing personal."""
    names = ("release_id", "source_pack", "count", "audience_hash", "drafts_hash", "approver", "expires_at")
    account: dict[str, object] = {name: row[name] for name in names}
    return account | {"gates": dict(passed)}


def _fresh_gate(write: Write, stage: str, run_id: str, as_of: datetime, source_pack: str, valid_for: timedelta) -> int:
    latest = write.connection.execute(
        sa.select(gates.c.seq, gates.c.passed, gates.c.as_of, gates.c.recorded_at)
        .where(gates.c.stage == stage, sa.or_(gates.c.run_id == run_id, gates.c.source_pack == source_pack))
        .order_by(gates.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if latest is None:
        raise Refusal(f"no release: gate {stage} has not run")
    if not latest.passed:
        raise Refusal(f"no release: gate {stage} failed at {latest.as_of:%Y-%m-%d %H:%M}")
    if write.now - latest.recorded_at > valid_for or abs(as_of - latest.as_of) > valid_for:
        raise Refusal(
            f"no release: gate {stage} last passed at {latest.as_of:%Y-%m-%d %H:%M}, longer than {valid_for} ago"
        )
    return latest.seq
