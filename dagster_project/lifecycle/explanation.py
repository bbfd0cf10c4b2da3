"""Why somebody did or didn't get a message: the trigger's own SQL, asked about one person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dagster_project.lifecycle.campaign import TRIGGER_PREFIX
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.reading import Probe, told

CONDITION_PREFIXES = ("is_", "has_")
_DECIDED = (
    "message_id",
    "occurrence_key",
    "triggered_at",
    "variant",
    "arm",
    "send_after",
    "send_before",
    "winner_message_id",
)


def named_conditions(trigger: str, compiled_sql: str, dialect: str = "duckdb") -> list[str]:
    """The names of the trigger's boolean columns, in the order of the `conditions` CTE."""
    tree = _parse(trigger, compiled_sql, dialect)
    (conditions,) = [cte for cte in tree.find_all(exp.CTE) if cte.alias == "conditions"]
    return [name for name in conditions.this.named_selects if name.startswith(CONDITION_PREFIXES)]


def where_conditions(trigger: str, compiled_sql: str, dialect: str = "duckdb") -> list[str]:
    """The names that the last select's `where` joins by `and`; InputError when it holds anything else."""
    where = _parse(trigger, compiled_sql, dialect).args.get("where")
    parts = list(where.this.flatten()) if where and isinstance(where.this, exp.And) else [where.this] if where else []
    names = [part.name for part in parts if isinstance(part, exp.Column)]
    if len(names) != len(parts):
        raise InputError(
            f"{trigger}: the last where must join named conditions by `and`, found {where.this.sql() if where else 'none'}"
        )
    return names


def form_problem(trigger: str, compiled_sql: str, dialect: str = "duckdb") -> str | None:
    """Why this trigger can't be explained, in one line; None when its `where` is the conjunction of its conditions."""
    try:
        declared = named_conditions(trigger, compiled_sql, dialect)
        joined = where_conditions(trigger, compiled_sql, dialect)
    except InputError as error:
        return str(error)
    if not declared:
        return f"{trigger}: conditions has no column named is_… or has_…; allowed is one boolean column per condition"
    if missing := [name for name in declared if name not in joined]:
        return f"{trigger}: the last where leaves out {', '.join(missing)}; allowed is every condition, joined by `and`"
    if unknown := [name for name in joined if name not in declared]:
        return f"{trigger}: the last where asks for {', '.join(unknown)}; allowed are {', '.join(declared)}"
    return None


def refuse_forms(compiled: Mapping[str, str]) -> None:
    """InputError for the first trigger among these models that can't be explained."""
    for name, sql in compiled.items():
        if name.startswith(TRIGGER_PREFIX) and (problem := form_problem(name, sql)):
            raise InputError(problem)


def conditions_sql(trigger: str, compiled_sql: str, dialect: str = "duckdb") -> str:
    """The named conditions, and nothing else, of everybody whom the trigger considers."""
    tree = _parse(trigger, compiled_sql, dialect)
    tree.set(
        "expressions", [exp.column(name, quoted=True) for name in named_conditions(trigger, compiled_sql, dialect)]
    )
    tree.set("where", None)
    return tree.sql(dialect=dialect)


def _parse(trigger: str, compiled_sql: str, dialect: str) -> exp.Select:
    try:
        tree = sqlglot.parse_one(compiled_sql, dialect=dialect)
    except SqlglotError as error:
        raise InputError(f"{trigger}: not SQL: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(tree, exp.Select) or not any(cte.alias == "conditions" for cte in tree.find_all(exp.CTE)):
        raise InputError(f"{trigger}: no CTE named `conditions`; a trigger needs one with a row per user considered")
    return tree


def campaign_answer(
    campaign_id: str,
    names: Sequence[str],
    considered: Sequence[Mapping[str, Any]],
    rules: Sequence[Mapping[str, Any]],
    decision: Mapping[str, Any] | None,
    probe: Probe | None,
    as_of: datetime,
    *,
    is_on_roster: bool = True,
) -> dict[str, Any]:
    """One campaign's part of an explanation; JSON-able but for times.

    `considered` is what the trigger's `conditions` has on this person, with the probe's columns: no row for somebody it
    never looks at, and the one that comes closest speaks where it has several. A condition's value is None where nothing is
    known.
    """
    row = closest(names, considered, decision)
    values = [_condition(name, row, probe, as_of) for name in names]
    qualified = row is not None and all(value["value"] for value in values)
    verdict, reason = _verdict(values, row, decision, is_on_roster=is_on_roster)
    return {
        "campaign_id": campaign_id,
        "qualified": qualified,
        "conditions": values,
        "rules": list(rules),
        "verdict": verdict,
        "reason": reason,
        "facts": json.loads(row["facts"]) if row and row.get("facts") else None,
        "decision": {name: decision[name] for name in _DECIDED} if decision else None,
    }


def _condition(name: str, row: Mapping[str, Any] | None, probe: Probe | None, as_of: datetime) -> dict[str, Any]:
    value = None if row is None or row[name] is None else bool(row[name])
    untold = {"sql": probe.readings[name].sql if probe else None, "checks": [], "reads": []}
    return {"name": name, "value": value} | (told(probe.readings[name], row, as_of) if probe and row else untold)


def closest(
    names: Sequence[str], considered: Sequence[Mapping[str, Any]], decision: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The row that was decided on, else the one that meets most conditions, ties by occurrence."""

    def closeness(row: Mapping[str, Any]) -> tuple[bool, int, str]:
        occurrence = str(row.get("occurrence_key"))
        is_decided = decision is not None and occurrence == decision["occurrence_key"]
        return is_decided, sum(bool(row[name]) for name in names), occurrence

    return max(considered, key=closeness, default=None)


def _verdict(
    values: Sequence[Mapping[str, Any]],
    row: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None,
    *,
    is_on_roster: bool,
) -> tuple[str, str]:
    if decision:
        return decision["verdict"], decision["reason"]
    if row is None:
        return "not_qualified", "the trigger has no row for this person"
    failed = next((value for value in values if not value["value"]), None)
    if failed:
        return "not_qualified", f"not {failed['name']}"
    if not is_on_roster:
        return "not_live", "qualified, but the campaign is not on the roster"
    return "not_decided", "qualified by the trigger as it reads now, which is later than the tick"
