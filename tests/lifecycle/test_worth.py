"""A policy's value is arithmetic over one person's row, or is refused by the part that isn't."""

from __future__ import annotations

import pytest

from dagster_project.lifecycle.campaign import parse_policy
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.expression import people_of, value_problem
from dagster_project.lifecycle.worth import ALLOWED, unallowed
from tests.lifecycle.test_campaign import changed

KEY = "some.yml: config.meta.campaign.value"


@pytest.mark.parametrize(
    "expression",
    [
        "5",
        "mrr",
        "-mrr / nullif(seats, 0)",
        "0.08 * churn_risk * 12 * coalesce(nullif(mrr, 0) / nullif(seats, 0), 15)",
        "case when plan in ('team', 'business') and mrr > 3 then 2 else 0.5 end",
        "least(account_users, 20) * greatest(round(expansion, 1), abs(mrr))",
    ],
)
def test_arithmetic_over_the_persons_columns_is_a_value(expression: str) -> None:
    assert unallowed(expression) is None


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("random() * mrr", "RANDOM()"),
        ("case when now() > created_at then 1 end", "NOW()"),
        ("mrr * (select 2)", "(SELECT 2)"),
        ("mrr in (select mrr from accounts)", "mrr in (select mrr from accounts)"),
        ("case when mrr in (select 1) then 1 end", "(SELECT 1)"),
        ("sum(mrr)", "SUM(mrr)"),
        ("1 + row_number() over (order by mrr)", "ROW_NUMBER() OVER (ORDER BY mrr)"),
        ("cast(plan as double)", "CAST(plan AS DOUBLE)"),
        ("ln(mrr)", "LN(mrr)"),
        ("mrr > 3", "mrr > 3"),
        ("coalesce(mrr, 'none')", "'none'"),
        ("mrr; drop table users", "mrr; drop table users"),
        ("mrr *", "mrr *"),
        ("mrr -- and more", "mrr -- and more"),
        ("mrr * ?", "?"),
    ],
)
def test_what_is_more_than_arithmetic_is_refused_by_its_part(expression: str, part: str) -> None:
    """Other rows, the clock, chance, what fails for some person's numbers, what is no number, what ends the expression."""
    assert unallowed(expression) == part
    with pytest.raises(InputError) as error:
        parse_policy("welcome", changed({"value": expression}), "some.yml")
    assert str(error.value) == f"{KEY}: found {part!r}, allowed is {ALLOWED}"


def test_a_number_in_yaml_is_no_expression() -> None:
    """`value: 5` is a number to YAML: the line says what is meant."""
    with pytest.raises(
        InputError, match=r"value: found 5, allowed is a SQL expression of 1 to 400 characters, or null"
    ):
        parse_policy("welcome", changed({"value": 5}), "some.yml")


@pytest.mark.parametrize(
    "other",
    [
        {"message_type": "billing", "legal_basis": "transactional"},
        {"message_type": "legal", "legal_basis": "legitimate_interest"},
    ],
)
def test_what_is_owed_or_demanded_by_law_has_no_value(other: dict[str, str]) -> None:
    free = {"holdout_share": 0, "caps": None, "quota_per_run": None, **other}
    assert parse_policy("welcome", changed(free), "some.yml").value is None

    with pytest.raises(InputError, match=r"value: found 'mrr', allowed is null, since what is owed or demanded by law"):
        parse_policy("welcome", changed({**free, "value": "mrr"}), "some.yml")


def test_an_unknown_column_is_named() -> None:
    """Also one that has the name of its relation before it."""
    compiled = {
        "int_users_enriched": "with enriched as (select 1 as user_id, 2 as mrr) select * from enriched",
        "int_candidate_values": "with scores as (select 1 as user_id, 3 as engagement) select * from scores",
    }
    columns = people_of(compiled)

    assert columns == ["user_id", "mrr", "engagement"]
    assert value_problem("welcome", "mrr * engagement", columns) is None
    for expression, found in (("mrr * engagment", "engagment"), ("users.mrr", "users.mrr")):
        assert value_problem("welcome", expression, columns) == (
            f"int_triggers__welcome: config.meta.campaign.value: found unknown column {found!r}, allowed are the columns of"
            " int_users_enriched, and engagement, churn_risk, expansion"
        )
