"""A sequence's exit_when is one condition on the person's row, or is refused in one line."""

from __future__ import annotations

import pytest

from dagster_project.lifecycle.expression import columns_of, exit_problem

COLUMNS = ("plan", "activated_at", "active_days_28d", "is_internal")
KEY = "int_triggers__welcome: config.meta.campaign.sequence.exit_when"
ALLOWED = "allowed is one SQL condition on columns of int_users_enriched, true or false"


@pytest.mark.parametrize(
    "expression",
    [
        "activated_at is not null",
        "plan = 'pro' or active_days_28d >= 12",
        "not is_internal",
        "is_internal",
        "(plan in ('pro', 'team'))",
        "active_days_28d between 3 and 5",
        "coalesce(plan, 'none') <> 'free'",
    ],
)
def test_a_condition_on_the_persons_columns_is_accepted(expression: str) -> None:
    """Whatever an analytics engineer would write behind `where`."""
    assert exit_problem("welcome", expression, COLUMNS) is None


@pytest.mark.parametrize(
    "expression",
    [
        "plan = ",
        "plan",
        "12",
        "active_days_28d + 1",
        "true; drop table users",
        "exists (select 1 from users)",
        "plan in (select plan from accounts)",
        "count(*) > 3",
        "row_number() over (order by plan) = 1",
        "select true",
        "plan = ?",
        "'",
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(expression: str) -> None:
    """Half an expression, a value, a question about other rows, a second statement."""
    assert exit_problem("welcome", expression, COLUMNS) == f"{KEY}: found {expression!r}, {ALLOWED}"


def test_an_unknown_column_is_named() -> None:
    """Also one that belongs to another relation."""
    problem = "found unknown column 'users.plan', allowed are the columns of int_users_enriched"

    assert exit_problem("welcome", "users.plan = 'pro'", COLUMNS) == f"{KEY}: {problem}"
    assert exit_problem("welcome", "Plan = 'pro' and paln = 'pro'", COLUMNS) == (
        f"{KEY}: found unknown column 'Plan', allowed are the columns of int_users_enriched"
    )


def test_the_columns_of_a_model_are_those_of_its_last_part() -> None:
    """As every model here is written."""
    sql = "with a as (select 1 as x), b as (select a.x, a.x + 1 as y from a) select * from b"

    assert columns_of(sql) == ["x", "y"]
