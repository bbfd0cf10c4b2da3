"""By which transport an attempt went: two columns of it, and the event that proves them.

Neither is about a person: a transport is a name with eight digits of a hash, a key is the message's id or made from it. So they stand in
the event as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagster_project.ledger.bulk import update_rows
from dagster_project.ledger.chain import Write
from dagster_project.ledger.schema import attempts
from dagster_project.ledger.transitions import Move
from dagster_project.lifecycle.message import Via

COLUMNS = ("transport", "idempotency_key")


def in_row(via: Via | None) -> dict[str, str | None]:
    """The columns of `attempts`."""
    return {"transport": via.transport if via else None, "idempotency_key": via.key if via else None}


def in_event(via: Via | None) -> dict[str, str]:
    """What an event says of it; nothing where nothing is known."""
    return {name: value for name, value in in_row(via).items() if value is not None}


def learn(write: Write, moves: Sequence[Move], vias: Mapping[str, Via | None]) -> None:
    """Where only the outcome could tell: message_id → by which transport its last attempt went."""
    rows = [
        {"was_id": one.held.message_id, "was_attempt": one.held.attempts, **in_row(via)}
        for one in moves
        if (via := vias[one.held.message_id]) is not None
    ]
    update_rows(write.connection, attempts, COLUMNS, rows, {"message_id": "was_id", "attempt": "was_attempt"})


def differing(attempt: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> bool:
    """Does the row say otherwise than what was last told of that attempt?"""
    told = [
        event["payload"]
        for event in events
        if event["payload"].get("attempt") == attempt["attempt"] and "transport" in event["payload"]
    ]
    last = told[-1] if told else {}
    return any(attempt[name] != last.get(name) for name in COLUMNS)
