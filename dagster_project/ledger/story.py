"""The story of one message: from the decision to the bytes, with every name, hash and time on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger import schema
from dagster_project.ledger.artifacts import get
from dagster_project.ledger.inbox import PUT
from dagster_project.ledger.messages import read_messages
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.knowledge import read_consulted


def tell(connection: sa.Connection, message_id: str) -> dict[str, Any]:
    """JSON-able. InputError for an unknown message."""
    found = read_messages(connection, message_ids=[message_id])
    if not found:
        raise InputError(f"message {message_id} is not in the ledger")
    message = found[0]
    events = [_event(row) for row in _rows(connection, schema.events, message_id, "seq")]
    drafts = _rows(connection, schema.drafts, message_id, "revision")
    return _plain(
        {
            "message_id": message_id,
            "campaign_id": message.campaign_id,
            "user_id": message.user_id,
            "account_id": message.account_id,
            "occurrence_key": message.occurrence_key,
            "source_pack": message.source_pack,
            "decision_id": message.decision_id,
            "policy_hash": message.policy_hash,
            "message_type": message.message_type,
            "channel": message.channel,
            "variant": message.variant,
            "run_id": message.run_id,
            "planned_as_of": message.planned_as_of,
            "sent_as_of": message.sent_as_of,
            "email": message.email,
            "facts": dict(message.facts),
            "state": message.state,
            "state_reason": message.state_reason,
            "states": [
                {
                    "state": event["to_state"],
                    "at": event["recorded_at"],
                    "as_of": event["as_of"],
                    "actor": event["actor"],
                }
                for event in events
                if event["to_state"] is not None
            ],
            "draft_hash": message.draft_hash,
            "recipe_id": message.recipe_id,
            "recipe": (recipe := _recipe(connection, message.recipe_id)),
            "knowledge": _knowledge(connection, recipe),
            "drafts": [_without(row, "message_id", "salt", "html", "text") for row in drafts],
            "reviews": [
                _without(row, "message_id", "salt") for row in _rows(connection, schema.reviews, message_id, "revision")
            ],
            "release": _release(connection, message.release_id),
            "attempts": _attempts(connection, message_id),
            "inbox": _inbox(connection, message_id, events),
            "events": events,
        }
    )


def _rows(connection: sa.Connection, table: sa.Table, message_id: str, order: str) -> list[Mapping[str, Any]]:
    query = sa.select(table).where(table.c.message_id == message_id).order_by(table.c[order])
    return [dict(row) for row in connection.execute(query).mappings()]


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    return _without(row, "message_id", "campaign_id", "prev_hash") | {"payload": json.loads(row["payload"])}


def _recipe(connection: sa.Connection, recipe_id: str | None) -> dict[str, str] | None:
    content = connection.execute(
        sa.select(schema.artifacts.c.content).where(schema.artifacts.c.hash == recipe_id)
    ).scalar_one_or_none()
    return json.loads(content) if content else None


def _knowledge(connection: sa.Connection, recipe: Mapping[str, str] | None) -> dict[str, Any] | None:
    """What its writer had looked up: `ranked_by` and `excerpts` (id, title, hash); None where it looked up nothing."""
    digest = (recipe or {}).get("knowledge")
    return read_consulted(get(connection, digest)) if digest else None


def _release(connection: sa.Connection, release_id: str | None) -> dict[str, Any] | None:
    found = connection.execute(sa.select(schema.releases).where(schema.releases.c.release_id == release_id)).mappings()
    row = found.one_or_none()
    return dict(row) | {"gates": json.loads(row["gates"])} if row else None


def _attempts(connection: sa.Connection, message_id: str) -> list[dict[str, Any]]:
    evidence = schema.attempt_evidence
    query = (
        sa.select(
            schema.attempts,
            evidence.c.mail_from,
            evidence.c.rcpt_to,
            sa.func.length(evidence.c.raw).label("bytes"),
        )
        .outerjoin_from(
            schema.attempts,
            evidence,
            sa.and_(
                evidence.c.message_id == schema.attempts.c.message_id, evidence.c.attempt == schema.attempts.c.attempt
            ),
        )
        .where(schema.attempts.c.message_id == message_id)
        .order_by(schema.attempts.c.attempt)
    )
    said = schema.attempt_outcomes
    outcomes = connection.execute(
        sa.select(said).where(said.c.message_id == message_id).order_by(said.c.seq)
    ).mappings()
    last = {row["attempt"]: {name: row[name] for name in ("detail", "provider_id")} for row in outcomes}
    nothing = {"detail": None, "provider_id": None}
    return [
        _without(dict(row), "message_id") | last.get(row["attempt"], nothing)
        for row in connection.execute(query).mappings()
    ]


def _inbox(connection: sa.Connection, message_id: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """When the message was put into the in-app inbox, and what became of it there; None when it never was."""
    put = next((event for event in events if event["kind"] == PUT), None)
    if put is None:
        return None
    columns = schema.inbox.c.expires_at, schema.inbox.c.read_at
    row = (
        connection.execute(sa.select(*columns).where(schema.inbox.c.message_id == message_id)).mappings().one_or_none()
    )
    found = dict(row) if row else {column.name: None for column in columns}
    return {"put_at": put["recorded_at"], "attempt": put["payload"]["attempt"], "is_kept": row is not None, **found}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
