"""The ledger as tables for the warehouse. Typed also when empty; times are microseconds, naive UTC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import sqlalchemy as sa

from dagster_project.ledger.controls import in_force
from dagster_project.ledger.policies import history
from dagster_project.ledger.schema import messages, suppressions, tick_audience, ticks

_TIME = pa.timestamp("us")


def _schema(text: str, *times: str, integers: tuple[str, ...] = (), booleans: tuple[str, ...] = ()) -> pa.Schema:
    """Columns in the order of `text`, which are strings unless named as something else."""
    kinds = dict.fromkeys(times, _TIME) | dict.fromkeys(integers, pa.int64()) | dict.fromkeys(booleans, pa.bool_())
    return pa.schema([(name, kinds.get(name, pa.string())) for name in text.split()])


LANDED = {
    "raw_ledger_messages": _schema(
        "message_id source_pack campaign_id user_id account_id occurrence_key message_type channel variant state"
        " state_reason decision_id planned_as_of sent_as_of state_as_of updated_at",
        "planned_as_of",
        "sent_as_of",
        "state_as_of",
        "updated_at",
    ),
    "raw_ledger_suppressions": _schema(
        "suppression_id user_id address message_type channel reason created_at", "created_at"
    ),
    "raw_ledger_controls": _schema("name campaign_id value actor reason set_at", "set_at"),
    "raw_ledger_policies": _schema(
        "source_pack campaign_id version policy_hash policy valid_from valid_to",
        "valid_from",
        "valid_to",
        integers=("version",),
    ),
    "raw_ledger_ticks": _schema(
        "run_id source_pack as_of status campaign_id candidates sends", "as_of", integers=("candidates", "sends")
    ),
}
DELIVERIES = _schema(
    "message_id source_pack campaign_id user_id account_id message_type channel state state_reason is_held attempts"
    " planned_as_of sent_as_of draft_hash recipe_id run_id",
    "planned_as_of",
    "sent_as_of",
    integers=("attempts",),
    booleans=("is_held",),
)


def land(connection: sa.Connection, source_pack: str) -> dict[str, pa.Table]:
    """Messages and finished ticks of this pack; suppressions and controls of all, for they hold whatever the source."""
    controls = LANDED["raw_ledger_controls"]
    standing = [[getattr(one, name) for name in controls.names] for one in in_force(connection)]
    finished = (
        sa.select(ticks, tick_audience)
        .join_from(tick_audience, ticks)
        .where(ticks.c.source_pack == source_pack, ticks.c.status != "running")
        .order_by(ticks.c.as_of, ticks.c.run_id, tick_audience.c.campaign_id)
    )
    in_order = sa.select(messages).where(messages.c.source_pack == source_pack).order_by(messages.c.message_id)
    return {
        "raw_ledger_messages": _table(connection, in_order, LANDED["raw_ledger_messages"]),
        "raw_ledger_suppressions": _table(
            connection, sa.select(suppressions).order_by(suppressions.c.seq), LANDED["raw_ledger_suppressions"]
        ),
        "raw_ledger_controls": _typed(standing, controls),
        "raw_ledger_policies": _policies(connection, source_pack),
        "raw_ledger_ticks": _table(connection, finished, LANDED["raw_ledger_ticks"]),
    }


def _policies(connection: sa.Connection, source_pack: str) -> pa.Table:
    rows = [
        (
            source_pack,
            one.campaign_id,
            one.version,
            one.policy_hash,
            json.dumps(json.loads(one.document)["policy"], sort_keys=True),
            one.valid_from,
            one.valid_to,
        )
        for one in history(connection, source_pack)
    ]
    return _typed(rows, LANDED["raw_ledger_policies"])


def deliveries(connection: sa.Connection, source_pack: str, now: datetime) -> pa.Table:
    """One row per message ever planned of this pack. `is_held`: in the hands of a worker that was heard of lately, here or
    on another host."""
    is_held = sa.func.coalesce(messages.c.lease_expires_at > now, sa.false()).label("is_held")
    query = sa.select(messages, is_held).where(messages.c.source_pack == source_pack).order_by(messages.c.message_id)
    return _table(connection, query, DELIVERIES)


def _table(connection: sa.Connection, query: sa.Select[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = [query.selected_columns[name] for name in schema.names]
    return _typed(connection.execute(query.with_only_columns(*columns)).all(), schema)


def _typed(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.Table:
    """Rows, in the schema's order of columns, as a table."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.Table.from_arrays(
        [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )
