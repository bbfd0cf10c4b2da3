"""Why somebody did or didn't get a message: the trigger's own SQL, asked about one person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlglot
from sqlglot import exp

from dagster_project.lifecycle.errors import InputError

CONDITION_PREFIXES = ("is_", "has_")


def conditions_query(trigger: str, compiled_sql: str, dialect: str = "duckdb") -> str:
    """The trigger with its last select replaced by `select * from conditions where user_id = ?`.

    Raises InputError when the trigger has no CTE named `conditions`.
    """
    tree = _parse(trigger, compiled_sql, dialect)
    asked = sqlglot.parse_one("select * from conditions where user_id = ?", dialect=dialect)
    with_clause = tree.args.get("with_") or tree.args.get("with")
    asked.set("with_" if "with_" in asked.arg_types else "with", with_clause)
    return asked.sql(dialect=dialect)


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


def _parse(trigger: str, compiled_sql: str, dialect: str) -> exp.Select:
    tree = sqlglot.parse_one(compiled_sql, dialect=dialect)
    if not isinstance(tree, exp.Select) or not any(cte.alias == "conditions" for cte in tree.find_all(exp.CTE)):
        raise InputError(f"{trigger}: no CTE named `conditions`; a trigger needs one with a row per user considered")
    return tree


def campaign_answer(
    campaign_id: str,
    names: Sequence[str],
    conditions: Mapping[str, Any] | None,
    rules: Sequence[Mapping[str, Any]],
    decision: Mapping[str, Any] | None,
    message: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """One campaign's part of an explanation. `conditions` is None for somebody whom the trigger didn't consider."""
    values = [{"name": name, "value": bool(conditions[name]) if conditions else None} for name in names]
    qualified = conditions is not None and all(value["value"] for value in values)
    if decision:
        verdict, reason = decision["verdict"], decision["reason"]
    elif conditions is None:
        verdict, reason = "not_considered", "unknown to the trigger's source"
    else:
        failed = [value["name"] for value in values if not value["value"]]
        verdict, reason = "not_qualified", f"not {failed[0]}" if failed else "qualified since the last tick"
    return {
        "campaign_id": campaign_id,
        "qualified": qualified,
        "conditions": values,
        "rules": [{"rule": rule["rule"], "is_blocked": rule["is_blocked"], "reason": rule["reason"]} for rule in rules],
        "verdict": verdict,
        "reason": reason,
        "message": message,
    }
