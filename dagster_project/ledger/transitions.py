"""What may happen to a message, and the one function by which it happens.

Every move is a compare-and-set on `(state, lease)` with its event in the same transaction. Nothing else writes `messages.state`.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.bulk import update_rows
from dagster_project.ledger.chain import Write
from dagster_project.ledger.database import as_list, listed
from dagster_project.ledger.schema import messages
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import State

LEGAL_MOVES: Mapping[State, frozenset[State]] = {
    "planned": frozenset({"drafted", "cancelled"}),
    "drafted": frozenset({"drafted", "in_review", "approved", "cancelled"}),  # to itself: drafted anew
    "in_review": frozenset({"in_review", "approved", "cancelled"}),  # to itself: an edit
    "approved": frozenset({"in_review", "claimed", "cancelled"}),
    "claimed": frozenset(
        {"claimed", "sending", "approved", "cancelled"}
    ),  # to itself: reclaimed after the lease expired
    "sending": frozenset(
        {"sent", "rejected", "deferred", "unknown", "approved"}
    ),  # approved: known not to have been sent
    "deferred": frozenset({"claimed", "cancelled"}),
    "unknown": frozenset(
        {"sent", "rejected", "deferred", "approved", "cancelled", "unknown"}
    ),  # by an event, a key or an operator; to itself: its request is repeated by key
    "sent": frozenset(),
    "rejected": frozenset(),
    "cancelled": frozenset(),
}
CANCELLABLE: frozenset[State] = frozenset({"planned", "drafted", "in_review", "approved", "deferred"})
OPEN: frozenset[State] = CANCELLABLE | frozenset[State]({"claimed"})  # may still go out without an operator's word


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A message row read under lock: what the compare-and-set compares with, and what moves need to know."""

    message_id: str
    campaign_id: str
    user_id: str
    source_pack: str
    message_type: str
    channel: str
    state: State
    lease: int
    lease_owner: str | None
    attempts: int
    draft_revision: int
    draft_hash: str | None
    recipe_id: str | None
    release_id: str | None
    send_after: datetime | None
    send_before: datetime | None
    caps: str | None


_COMPARED = {"message_id": "was_id", "state": "was_state", "lease": "was_lease"}
HELD_COLUMNS = [messages.c[field.name] for field in dataclasses.fields(Held)]


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """One message to a new state. `changes` are further columns of the row, `payload` goes into the event."""

    held: Held
    to: State
    kind: str  # of the event
    reason: str | None = None
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    payload: Mapping[str, object] = dataclasses.field(default_factory=dict)
    lease: int | None = None  # the new one, for a claim; else the lease stays


def lock_messages(write: Write, message_ids: Collection[str]) -> dict[str, Held]:
    """The rows of these messages, locked in the order of their ids; then the chain head. InputError for an unknown id."""
    dialect = write.connection.dialect.name
    found = write.connection.execute(_rows_of(dialect), {"ids": as_list(dialect, message_ids)})
    held = {row.message_id: Held(*row) for row in found}
    missing = sorted(set(message_ids) - held.keys())
    if missing:
        raise InputError(f"message {missing[0]} is not in the ledger")
    write.lock_head()
    return held


@cache
def _rows_of(dialect: str) -> sa.Executable:
    return (
        sa.select(*HELD_COLUMNS)
        .where(listed(dialect, messages.c.message_id, "ids"))
        .order_by(messages.c.message_id)
        .with_for_update(of=messages)
    )


def lock_where(write: Write, *conditions: sa.ColumnElement[bool], skip_locked: bool = False) -> list[Held]:
    """As `lock_messages`, for the rows that meet the conditions."""
    found = write.connection.execute(
        sa.select(*HELD_COLUMNS)
        .where(*conditions)
        .order_by(messages.c.message_id)
        .with_for_update(of=messages, skip_locked=skip_locked)
    )
    held = [Held(*row) for row in found]
    write.lock_head()
    return held


def move(
    write: Write, moves: Sequence[Move], *, actor: str, run_id: str | None = None, as_of: datetime | None = None
) -> None:
    """Make the moves, each with its event, or none of them. Refusal for a move that the table above doesn't have."""
    batches: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in moves:
        held = one.held
        if one.to not in LEGAL_MOVES[held.state]:
            raise Refusal(f"message {held.message_id} is {held.state}: it cannot become {one.to}")
        lease = held.lease if one.lease is None else one.lease
        write.append(
            one.kind,
            actor=actor,
            message_id=held.message_id,
            campaign_id=held.campaign_id,
            run_id=run_id,
            as_of=as_of,
            from_state=held.state,
            to_state=one.to,
            reason=one.reason,
            lease=lease or None,
            payload=one.payload,
        )
        row = {**one.changes, "state": one.to, "state_reason": one.reason, "lease": lease, "updated_at": write.now}
        row |= {"state_as_of": as_of} if as_of is not None else {}
        compared = {"was_id": held.message_id, "was_state": held.state, "was_lease": held.lease}
        batches[tuple(sorted(row))].append({**row, **compared})
    for columns, rows in batches.items():
        if update_rows(write.connection, messages, columns, rows, _COMPARED) != len(rows):
            raise Refusal("a message changed while it was being moved; nothing was written")
