"""What the engine says of compiled models before anybody's rows go through them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from dagster_project.adapters.dependencies import reads
from dagster_project.adapters.warehouse import Connection, SqlError, first_line
from dagster_project.lifecycle.campaign import POLICY_KEY
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import conditions_sql, form_problem

NUMBER = re.compile(r"DOUBLE|FLOAT|DECIMAL|U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?\b")


def refused(connection: Connection, queries: Mapping[str, str]) -> dict[str, str]:
    """Make every model, in dbt's order, of what stands, which may be empty: model → the line with which its SQL is refused.

    What reads a refused model is not tried: the fault isn't its own.
    """
    found: dict[str, str] = {}
    left_out: set[str] = set()
    for model, sql in queries.items():
        try:
            if reads(sql).isdisjoint(left_out):
                connection.execute(f'create table main."{model}" as {sql}')
                continue
        except SqlError as error:
            found[model] = first_line(error)
        left_out.add(model)
    return found


def value_type_problem(
    connection: Connection, campaign_id: str, expression: str, scores: Collection[str]
) -> str | None:
    """Why a policy's value is no number, in one line; None where it is one. Of `int_users_enriched` as it stands, and the `scores` beside
    it. Nothing of an expression that is refused as a whole."""
    beside = ", ".join(f"null::double as {name}" for name in scores)
    people = f"(select * from main.int_users_enriched cross join (select {beside}) as scores) as people"
    try:
        ((_, kind, *_),) = connection.execute(f"describe select ({expression}) as value from {people}").fetchall()
    except SqlError:
        return None
    if NUMBER.match(kind):
        return None
    key = f"int_triggers__{campaign_id}: {POLICY_KEY}.value"
    return f"{key}: found {expression!r}, which is {kind.lower()}; allowed is a number"


def trigger_problem(connection: Connection, trigger: str, sql: str) -> str | None:
    """Why `explain` could not tell whom this trigger chose, in one line: its form, or a condition."""
    return form_problem(trigger, sql) or condition_problem(connection, trigger, sql)


def condition_problem(connection: Connection, trigger: str, sql: str) -> str | None:
    """The first condition that is no boolean: a value of another type is taken for true or false without a word, or stops the
    tick in the middle of somebody's row. Nothing of SQL that is refused as a whole."""
    try:
        columns = connection.execute(f"describe {conditions_sql(trigger, sql)}").fetchall()
    except (InputError, SqlError):
        return None
    for name, kind, *_ in columns:
        if kind != "BOOLEAN":
            return f"{trigger}: condition {name} is {kind.lower()}; allowed is boolean: true, false or null"
    return None
