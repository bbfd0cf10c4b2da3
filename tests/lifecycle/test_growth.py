"""A model is moved on by arrivals only where its form proves that it comes to the same."""

from __future__ import annotations

import pytest

from dagster_project.lifecycle.growth import growth

TIME, BEFORE = "getvariable('as_of')", "getvariable('before')"
SOURCE = f"""
with pack as (select * from "w"."main"."stg_pack"),
known as (select user_id, kind, at, received_at from pack where received_at <= {TIME})
select * from known
"""
MODEL = """
-- the one full pass
with events as (select * from "w"."main"."stg_events"),
days as (
    select user_id, cast(at as date) as day, count(*) as events, min(at) as first_at, max(at) as last_at
    from events
    group by 1, 2
)
select * from days
"""


def test_a_grouping_of_rows_that_only_come_is_moved_on_by_what_has_come() -> None:
    found = growth(MODEL, {"stg_events": SOURCE}, TIME, BEFORE)

    assert found is not None
    assert (found.source, found.keys) == ("stg_events", ("user_id", "day"))
    assert f"where received_at <= {TIME} and received_at > {BEFORE})" in found.arrivals
    assert found.values == {
        "events": "old.events + new.events",
        "first_at": "least(old.first_at, new.first_at)",
        "last_at": "greatest(old.last_at, new.last_at)",
    }


@pytest.mark.parametrize(
    ("sql", "source"),
    [
        pytest.param(MODEL.replace("count(*)", "count(distinct kind)"), SOURCE, id="what has no parts"),
        pytest.param(MODEL.replace("count(*)", "count(kind)"), SOURCE, id="a count with nulls"),
        pytest.param(MODEL.replace("max(at)", "avg(at)"), SOURCE, id="an average"),
        pytest.param(MODEL.replace("max(at)", f"max({TIME})"), SOURCE, id="the time itself"),
        pytest.param(MODEL.replace("from events\n", "from events where kind = 'x'\n"), SOURCE, id="a part of the rows"),
        pytest.param(MODEL.replace("group by 1, 2", "group by 1, 2 having count(*) > 1"), SOURCE, id="a part of the groups"),
        pytest.param(MODEL.replace("select * from days", "select user_id from days"), SOURCE, id="more than the grouping"),
        pytest.param(MODEL, SOURCE.replace("select user_id", f"select {TIME} as seen_at, user_id"), id="rows that change"),
        pytest.param(MODEL, SOURCE.replace(f"received_at <= {TIME}", f"received_at > {TIME} - to_days(7)"), id="rows that go"),
        pytest.param(MODEL, SOURCE.replace(TIME, "timestamp '2026-01-01'"), id="rows that stand"),
    ],
)  # fmt: skip
def test_what_is_not_proven_is_made_anew(sql: str, source: str) -> None:
    assert growth(sql, {"stg_events": source}, TIME, BEFORE) is None
