"""SQL that a policy may hold, looked at before a model is built of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dagster_project.lifecycle.campaign import POLICY_KEY
from dagster_project.lifecycle.worth import unknown_column

# What is true or false by its form; a column may be boolean, which only its name says.
_TRUE_OR_FALSE = (exp.Predicate, exp.Connector, exp.Not, exp.Boolean)
# What asks for more than the person's own row.
_MORE_THAN_A_ROW = (exp.Query, exp.AggFunc, exp.Window, exp.Star, exp.Placeholder)


def exit_problem(campaign_id: str, expression: str, columns: Collection[str], dialect: str = "duckdb") -> str | None:
    """Why `expression` can't be a sequence's exit_when, in one line; None when it is one condition on these columns."""
    key = f"int_triggers__{campaign_id}: {POLICY_KEY}.sequence.exit_when"
    allowed = "one SQL condition on columns of int_users_enriched, true or false"
    try:
        (tree,) = sqlglot.parse(expression, dialect=dialect)
    except (SqlglotError, ValueError):
        return f"{key}: found {expression!r}, allowed is {allowed}"
    inner = tree.unnest() if tree else None
    boolean_column = isinstance(inner, exp.Column) and inner.name.startswith(("is_", "has_"))
    if inner is None or not (isinstance(inner, _TRUE_OR_FALSE) or boolean_column) or inner.find(*_MORE_THAN_A_ROW):
        return f"{key}: found {expression!r}, allowed is {allowed}"
    unknown = sorted({column.sql() for column in inner.find_all(exp.Column)} - set(columns))
    if unknown:
        return f"{key}: found unknown column {unknown[0]!r}, allowed are the columns of int_users_enriched"
    return None


def value_problem(campaign_id: str, expression: str, columns: Collection[str], dialect: str = "duckdb") -> str | None:
    """Why `expression` can't be a policy's value of these people, in one line; None when it can. Its form has been looked at."""
    unknown = unknown_column(expression, set(columns), dialect)
    return unknown and (
        f"int_triggers__{campaign_id}: {POLICY_KEY}.value: found unknown column {unknown!r},"
        " allowed are the columns of int_users_enriched, and engagement, churn_risk, expansion"
    )


def columns_of(compiled_sql: str, dialect: str = "duckdb") -> list[str]:
    """The columns of a model that ends in `select * from <its last CTE>`, in order."""
    return list(sqlglot.parse_one(compiled_sql, dialect=dialect).find_all(exp.CTE))[-1].this.named_selects


def people_of(compiled: Mapping[str, str], dialect: str = "duckdb") -> list[str]:
    """The columns that a policy's value may name: of int_users_enriched, and the scores that int_candidate_values puts beside them."""
    tree = sqlglot.parse_one(compiled["int_candidate_values"], dialect=dialect)
    (scores,) = [cte.this for cte in tree.find_all(exp.CTE) if cte.alias == "scores"]
    return list(dict.fromkeys([*columns_of(compiled["int_users_enriched"], dialect), *scores.named_selects]))
