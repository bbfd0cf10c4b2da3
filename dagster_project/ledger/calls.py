"""Calls of a language model: what each was asked, answered and cost, and the answers that need not be asked for again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.bulk import insert_rows
from dagster_project.ledger.chain import Write, canonical_json
from dagster_project.ledger.database import among
from dagster_project.ledger.schema import model_calls
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.drafting import WriterRequest, WriterResult
from dagster_project.lifecycle.message import content_hash

CALLED = "model_called"


def call_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a call holds of its row: of the answer's words only the hash."""
    names = ("key", "campaign_id", "prompt_hash", "failure", "model", "tokens_in", "tokens_out", "dollars")
    told: dict[str, object] = {name: row[name] for name in names}
    return told | {"slots_hash": None if row["slots"] is None else content_hash(row["slots"])}


def record(write: Write, run_id: str, calls: Sequence[tuple[str, WriterRequest, WriterResult]]) -> None:
    """One row and one event per call that was made, whatever became of it; each comes with its key."""
    rows = []
    for key, request, result in calls:
        row: dict[str, Any] = {
            "key": key,
            "run_id": run_id,
            "campaign_id": request.campaign_id,
            "prompt_hash": content_hash(result.prompt),
            "settings": canonical_json(dict(result.settings)),
            "slots": None if result.slots is None else canonical_json(dict(result.slots)),
            "failure": result.failure,
            "model": result.model,
            "tokens_in": result.tokens_in,
            "tokens_out": result.tokens_out,
            "dollars": None if result.dollars is None else str(result.dollars),
            "milliseconds": round(result.seconds * 1000),
            "recorded_at": write.now,
        }
        row["seq"] = write.append(CALLED, actor="postrider", run_id=run_id, payload=call_fields(row))
        rows.append(row)
    insert_rows(write.connection, model_calls, rows)


def answers(connection: sa.Connection, keys: Collection[str]) -> dict[str, WriterResult]:
    """key -> the newest answer that came under it, at no cost. A failure is none: it is asked again."""
    query = sa.select(model_calls.c.key, model_calls.c.slots, model_calls.c.settings, model_calls.c.model)
    query = query.where(model_calls.c.slots.is_not(None), among(connection, model_calls.c.key, keys))
    return {
        row.key: WriterResult(slots=json.loads(row.slots), settings=json.loads(row.settings), model=row.model)
        for row in connection.execute(query.order_by(model_calls.c.seq))
    }


def spent(connection: sa.Connection, run_id: str) -> Cost:
    """What the calls of one run cost. A price that nobody knows makes the sum unknown."""
    query = sa.select(model_calls.c.tokens_in, model_calls.c.tokens_out, model_calls.c.dollars)
    cost = Cost()
    for row in connection.execute(query.where(model_calls.c.run_id == run_id)):
        dollars = None if row.dollars is None else Decimal(row.dollars)
        cost += Cost(1, row.tokens_in + row.tokens_out, dollars)
    return cost
