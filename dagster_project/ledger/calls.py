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
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.roles.call import Answer, Question

CALLED = "model_called"
_TOLD = ("key", "campaign_id", "prompt_hash", "failure", "model", "tokens_in", "tokens_out", "dollars")


def call_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a call holds of its row: of the answer's words only the hash."""
    told: dict[str, object] = {name: row[name] for name in _TOLD}
    answer_hash = None if row["answer"] is None else content_hash(row["answer"])
    if row["role"] is None:
        return told | {"slots_hash": answer_hash}  # as events of calls were before there were roles
    if row["asked_with"] is not None:
        told["asked_with"] = row["asked_with"]
    return told | {name: row[name] for name in ("role", "input_hash", "tokens_charged")} | {"answer_hash": answer_hash}


def record(write: Write, run_id: str, calls: Sequence[tuple[str, Question, Answer]]) -> None:
    """One row and one event per question that was asked, whatever became of it; each comes with its key. Of questions that shared a call
    the first has its cost, and the others name it."""
    rows = []
    for key, question, answer in calls:
        row: dict[str, Any] = {
            "key": key,
            "run_id": run_id,
            "campaign_id": question.campaign_id,
            "role": question.role,
            "prompt_hash": content_hash(answer.prompt),
            "input_hash": content_hash(question.content),
            "settings": canonical_json(dict(answer.settings)),
            "answer": None if answer.content is None else canonical_json(dict(answer.content)),
            "failure": answer.failure,
            "model": answer.model,
            "tokens_in": answer.tokens_in,
            "tokens_out": answer.tokens_out,
            "tokens_charged": answer.cost.tokens,
            "dollars": None if answer.cost.dollars is None else str(answer.cost.dollars),
            "milliseconds": round(answer.seconds * 1000),
            "asked_with": answer.asked_with,
            "recorded_at": write.now,
        }
        row["seq"] = write.append(CALLED, actor="postrider", run_id=run_id, payload=call_fields(row))
        rows.append(row)
    insert_rows(write.connection, model_calls, rows)


def answers(connection: sa.Connection, keys: Collection[str]) -> dict[str, Answer]:
    """key -> the newest answer that came under it, at no cost. A failure is none: it is asked again."""
    query = sa.select(model_calls.c.key, model_calls.c.answer, model_calls.c.settings, model_calls.c.model)
    query = query.where(model_calls.c.answer.is_not(None), among(connection, model_calls.c.key, keys))
    return {
        row.key: Answer(content=json.loads(row.answer), settings=json.loads(row.settings), model=row.model)
        for row in connection.execute(query.order_by(model_calls.c.seq))
    }


def spent(connection: sa.Connection, run_id: str) -> dict[str, Cost]:
    """campaign_id -> what its calls in one run count as. A price that nobody knows makes the sum unknown."""
    costs: dict[str, Cost] = {}
    for row in connection.execute(sa.select(model_calls).where(model_calls.c.run_id == run_id)):
        tokens = row.tokens_in + row.tokens_out if row.tokens_charged is None else row.tokens_charged
        cost = Cost(int(row.asked_with is None), tokens, None if row.dollars is None else Decimal(row.dollars))
        costs[row.campaign_id] = costs.get(row.campaign_id, Cost()) + cost
    return dict(sorted(costs.items()))
