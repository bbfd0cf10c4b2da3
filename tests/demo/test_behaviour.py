"""What people do, and what telemetry makes of it."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.demo.behaviour import vocabulary
from dagster_project.demo.company import ENDS_AT

SEED = Path(__file__).parents[2] / "dbt_project" / "seeds" / "product_events.csv"


def value(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The one figure that `sql` gives."""
    return connection.execute(sql).fetchall()[0][0]


def test_each_person_and_day_brings_about_one_event(ledgerline: duckdb.DuckDBPyConnection) -> None:
    """10,000 people over 120 days make a million; the density does not depend on the size."""
    assert 0.6 < value(ledgerline, "select count(*) from events") / (1_500 * 90) < 1.1


def test_every_word_of_the_vocabulary_occurs_and_no_other(ledgerline: duckdb.DuckDBPyConnection) -> None:
    words = set(vocabulary("2026-08"))
    names = {row[0] for row in ledgerline.execute("select distinct event_name from events").fetchall()}
    texts = {row[0] for row in ledgerline.execute("select distinct properties from events").fetchall()}

    assert names | texts == words | {None, '{"surface":'}


def test_the_warehouse_knows_every_event_but_the_unknown_one(ledgerline: duckdb.DuckDBPyConnection) -> None:
    names = {row[0] for row in ledgerline.execute("select distinct event_name from events").fetchall()}
    with SEED.open() as lines:
        known = {row["event_name"] for row in csv.DictReader(lines) if row["source_pack"] == "demo"}

    assert names - known == {"legacy_ping"}
    assert known - names == set()


def test_nothing_arrives_before_it_happened_or_after_the_data_was_read(ledgerline: duckdb.DuckDBPyConnection) -> None:
    assert value(ledgerline, "select count(*) from events where occurred_at > received_at") == 0
    assert value(ledgerline, f"select count(*) from events where received_at > timestamp '{ENDS_AT}'") == 0
    assert value(ledgerline, "select max(received_at) from events") > ENDS_AT - timedelta(hours=1)


def test_two_in_a_hundred_events_arrive_up_to_three_days_late(ledgerline: duckdb.DuckDBPyConnection) -> None:
    late = "select avg((received_at - occurred_at > interval 11 minute)::int) from events"
    latest = value(ledgerline, "select max(received_at - occurred_at) from events")

    assert 0.010 < value(ledgerline, late) < 0.025
    assert timedelta(days=2) < latest <= timedelta(days=3, minutes=12)


def test_three_in_a_thousand_events_are_delivered_twice_and_unchanged(ledgerline: duckdb.DuckDBPyConnection) -> None:
    repeats = value(ledgerline, "select count(*) - count(distinct event_id) from events")
    changed = """
        select count(*) from (
            select 1 from events group by event_id
            having count(distinct (user_id, account_id, event_name, occurred_at, properties)) > 1 or count(*) > 2
        )
    """

    assert repeats / value(ledgerline, "select count(*) from events") == pytest.approx(0.003, abs=0.001)
    assert value(ledgerline, changed) == 0


@pytest.mark.parametrize(
    "quirk",
    [
        "user_id is null",
        "occurred_at is null",
        "event_name = 'legacy_ping'",
        "properties is not null and not json_valid(properties)",
    ],
)
def test_every_kind_of_unreadable_row_occurs_and_is_rare(ledgerline: duckdb.DuckDBPyConnection, quirk: str) -> None:
    assert 0 < value(ledgerline, f"select avg(({quirk})::int) from events") < 0.0005


def test_rows_lie_in_the_order_of_arrival(small_company: Path) -> None:
    with duckdb.connect() as connection:
        for part in sorted((small_company / "events").iterdir()):
            disorder = f"""
                select count(*) from (
                    select received_at < lag(received_at) over (order by file_row_number) as is_early
                    from read_parquet('{part}', file_row_number = true)
                ) where is_early
            """
            assert value(connection, disorder) == 0, part.name


def test_people_work_on_weekdays(ledgerline: duckdb.DuckDBPyConnection) -> None:
    """Measured away from the countries that rest on Friday, over whole weeks."""
    per_day = dict(
        ledgerline.execute("""
            select isodow(occurred_at), count(*) from human_events inner join truth using (user_id)
            where true_timezone not in ('Africa/Cairo', 'Asia/Riyadh')
                and occurred_at between timestamp '2026-06-08' and timestamp '2026-08-31'
            group by 1
        """).fetchall()
    )

    assert min(per_day[day] for day in (1, 2, 3, 4, 5)) > 3 * max(per_day[6], per_day[7])


def test_friday_is_a_day_of_rest_in_cairo_and_riyadh(ledgerline: duckdb.DuckDBPyConnection) -> None:
    per_day = dict(
        ledgerline.execute("""
            select isodow(timezone(true_timezone, timezone('UTC', occurred_at))), count(*)
            from human_events inner join truth using (user_id)
            where true_timezone in ('Africa/Cairo', 'Asia/Riyadh') and event_id like 'e%'
            group by 1
        """).fetchall()
    )

    assert per_day[7] > 2 * per_day.get(5, 0)


def test_people_work_in_the_office_hours_of_their_own_zone(ledgerline: duckdb.DuckDBPyConnection) -> None:
    in_office = """
        select avg((hour(timezone(true_timezone, timezone('UTC', occurred_at))) between 8 and 18)::int)
        from human_events inner join truth using (user_id)
        where true_timezone in ('Asia/Tokyo', 'America/Los_Angeles', 'Europe/Berlin')
    """

    assert value(ledgerline, in_office) > 0.8


def test_use_is_skewed(ledgerline: duckdb.DuckDBPyConnection) -> None:
    """A tenth of the people make far more than a tenth of the events, as in every product."""
    share = """
        select sum(events) filter (where place <= 0.1) / sum(events) from (
            select count(*) as events, percent_rank() over (order by count(*) desc) as place
            from human_events group by user_id
        )
    """

    assert 0.3 < value(ledgerline, share) < 0.8


def test_bots_come_hundreds_of_times_a_day_round_the_clock(ledgerline: duckdb.DuckDBPyConnection) -> None:
    days = ledgerline.execute("""
        select count(*), count(distinct hour(occurred_at))
        from events inner join truth using (user_id)
        where is_bot and event_id like 'e%' and occurred_at between timestamp '2026-06-08' and timestamp '2026-08-31'
        group by user_id, occurred_at::date
    """).fetchall()

    assert len(days) > 50
    assert min(events for events, _ in days) > 100
    assert min(hours for _, hours in days) >= 20


def test_only_their_address_and_behaviour_give_bots_away(ledgerline: duckdb.DuckDBPyConnection) -> None:
    bots = ledgerline.execute(
        "select email, role from users semi join (from truth where is_bot) using (user_id)"
    ).fetchall()

    assert len(bots) == 1
    assert bots[0][0].startswith("bot+")
    assert bots[0][1] != "owner"


def test_steps_are_done_in_order_and_fewer_at_each(ledgerline: duckdb.DuckDBPyConnection) -> None:
    names = ("workspace_named", "source_connected", "first_report_built", "team_profile_completed", "report_shared")
    done = [
        value(ledgerline, f"select count(distinct user_id) from events where event_name = '{name}'") for name in names
    ]
    disorder = """
        select count(*) from (
            select
                min(occurred_at) filter (where event_name = 'signed_up') as zero,
                min(occurred_at) filter (where event_name = 'workspace_named') as one,
                min(occurred_at) filter (where event_name = 'source_connected') as two,
                min(occurred_at) filter (where event_name = 'first_report_built') as three,
                min(occurred_at) filter (where event_name = 'report_shared') as four
            from events group by user_id
        ) where one <= zero or two <= one or three <= two or four <= three
    """

    assert done[0] > done[1] > done[2] > done[3]
    assert done[2] > done[4] > 0.5 * 1_500
    assert value(ledgerline, disorder) == 0


def test_a_feature_is_used_only_from_the_day_it_is_reached(ledgerline: duckdb.DuckDBPyConnection) -> None:
    early = """
        select count(*) from events as used
        inner join (
            select user_id, min(occurred_at) as occurred_at from events
            where event_name = 'first_report_built' group by 1
        ) as built using (user_id)
        where used.event_name = 'report_created' and used.occurred_at < built.occurred_at
    """

    assert value(ledgerline, early) == 0


def test_whoever_left_is_quiet_unless_they_return(ledgerline: duckdb.DuckDBPyConnection) -> None:
    quiet, returned = ledgerline.execute("""
        select
            avg((last_seen <= left_on + interval 2 day)::int), avg((last_seen > left_on + interval 15 day)::int)
        from (
            select user_id, left_on, max(occurred_at) filter (where event_id like 'e%') as last_seen
            from events inner join truth using (user_id)
            where left_on between date '2026-06-15' and date '2026-07-15' and has_reached_value
            group by 1, 2
        ) where last_seen is not null
    """).fetchall()[0]

    assert quiet > 0.75
    assert 0 < returned < 0.25
