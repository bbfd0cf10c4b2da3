"""Everything the checks look at, read once in one consistent view."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger import schema

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Book:
    """The ledger in memory, without draft texts and sent bytes: those are streamed. Events carry their payload decoded."""

    events: list[dict[str, Any]]
    by_message: Mapping[str, list[dict[str, Any]]]
    by_seq: Mapping[int, dict[str, Any]]
    erased: frozenset[str]  # messages whose person was erased: their erasable rows may be missing
    messages: Mapping[str, Row]
    recipients: Mapping[str, Row]
    reviews: Mapping[tuple[str, int], Row]
    gates: Mapping[int, Row]
    releases: Mapping[str, Row]
    members: Mapping[str, Mapping[str, str]]  # release -> message -> draft hash
    attempts: Mapping[str, list[Row]]  # message -> attempts in order
    suppressions: list[Row]
    controls: list[Row]
    ticks: Mapping[str, Row]


def read_book(connection: sa.Connection) -> Book:
    events: list[dict[str, Any]] = [
        dict(row) | {"payload": _decoded(row["payload"])}
        for row in _rows(connection, schema.events, schema.events.c.seq)
    ]
    by_message: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["message_id"] is not None:
            by_message[event["message_id"]].append(event)
    members: dict[str, dict[str, str]] = defaultdict(dict)
    for row in _rows(connection, schema.release_members):
        members[row["release_id"]][row["message_id"]] = row["draft_hash"]
    attempts: dict[str, list[Row]] = defaultdict(list)
    for row in _rows(connection, schema.attempts, schema.attempts.c.attempt):
        attempts[row["message_id"]].append(row)
    return Book(
        events=events,
        by_message=by_message,
        by_seq={event["seq"]: event for event in events},
        erased=frozenset(event["message_id"] for event in events if event["kind"] == "erased"),
        messages={row["message_id"]: row for row in _rows(connection, schema.messages)},
        recipients={row["message_id"]: row for row in _rows(connection, schema.recipients)},
        reviews={(row["message_id"], row["revision"]): row for row in _rows(connection, schema.reviews)},
        gates={row["seq"]: row for row in _rows(connection, schema.gates)},
        releases={row["release_id"]: row for row in _rows(connection, schema.releases)},
        members=members,
        attempts=attempts,
        suppressions=_rows(connection, schema.suppressions),
        controls=_rows(connection, schema.controls),
        ticks={row["run_id"]: row for row in _rows(connection, schema.ticks)},
    )


def _rows(connection: sa.Connection, table: sa.Table, *order: sa.ColumnElement[Any]) -> list[Row]:
    return [dict(row) for row in connection.execute(sa.select(table).order_by(*order)).mappings()]


def _decoded(payload: str) -> dict[str, Any]:
    """An altered payload may not be JSON any more; the chain has named it, the checks go on without it."""
    try:
        decoded = json.loads(payload)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
