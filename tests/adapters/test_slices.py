"""A slice has a person's rows as the whole relation has them, whatever the SQL looks at to make them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime

import duckdb
import pytest

from dagster_project.adapters.slices import Slices
from dagster_project.lifecycle.cutting import Demand
from dagster_project.lifecycle.reading import Prober, evidence, told
from dagster_project.lifecycle.selects import Selects
from dagster_project.lifecycle.tracing import traced_name

AS_OF = datetime(2026, 9, 1, 9)
NOW = "cast('2026-09-01 09:00:00' as timestamp)"
LANDED = {
    "raw.users": ["user_id", "account_id", "zone"],
    "raw.events": ["event_id", "user_id", "kind", "occurred_at"],
    "raw.messages": ["message_id", "user_id", "sent_at"],
    "kinds": ["kind", "weight"],
}
MODELS = {
    "stg_users": "with source as (select * from raw.users) select * from source",
    "stg_events": "select * from raw.events where kind is not null",
    "stg_messages": "select * from raw.messages",
    "int_activity": """
        with weighed as (
            select events.*, kinds.weight from main.stg_events as events
            inner join main.kinds as kinds on events.kind = kinds.kind
        )
        select user_id, count(*) filter (where kind = 'use') as uses, sum(weight) as weight,
            min(occurred_at) filter (where kind = 'value') as activated_at, max(occurred_at) as seen_at
        from weighed group by 1
    """,
    "int_team": """
        select users.user_id, users.zone, team.people, coalesce(activity.uses, 0) as uses, activity.activated_at,
            activity.seen_at
        from main.stg_users as users
        left join (select account_id, count(*) as people from main.stg_users group by all) as team
            on users.account_id = team.account_id
        left join main.int_activity as activity on users.user_id = activity.user_id
    """,
    "int_share": "select zone, avg(uses) as usual from main.int_team group by zone",
    "int_candidates_unioned": """
        select md5(concat_ws('|', 'a', user_id)) as message_id, 'a' as campaign_id, user_id, uses from main.int_team
        where uses > 1
        union all
        select md5(concat_ws('|', 'b', team.user_id)), 'b', team.user_id, team.uses from main.int_team as team
        inner join main.int_share as share on team.zone = share.zone and team.uses >= share.usual
    """,
    "int_crowd": """
        with placed as (
            select candidates.message_id, users.account_id, candidates.uses from main.int_candidates_unioned as candidates
            inner join main.stg_users as users on candidates.user_id = users.user_id
        ),
        ranked as (
            select message_id, row_number() over (partition by account_id order by uses desc, message_id) as place from placed
        )
        select * from ranked
    """,
    "int_quota": """
        select message_id, row_number() over (order by uses desc, message_id) as place from main.int_candidates_unioned
    """,
    "int_zones": """
        with zones as (select distinct zone from main.int_team)
        select zone, length(zone) as characters from zones
    """,
    "int_arbitrated": """
        with contests as (
            select message_id, uses, case when campaign_id = 'a' then user_id else user_id || '|' || campaign_id end as contest
            from main.int_candidates_unioned
        )
        select message_id, first_value(message_id) over (partition by contest order by uses desc) as winner from contests
    """,
    "int_verdicts": """
        select candidates.message_id, candidates.user_id, crowd.place as crowd, quota.place as quota, arbitrated.winner,
            zones.characters, capped.sent
        from main.int_candidates_unioned as candidates
        left join main.int_crowd as crowd on candidates.message_id = crowd.message_id
        left join main.int_quota as quota on candidates.message_id = quota.message_id
        left join main.int_arbitrated as arbitrated on candidates.message_id = arbitrated.message_id
        left join main.int_team as team on candidates.user_id = team.user_id
        left join main.int_zones as zones on team.zone = zones.zone
        left join (
            select asked.message_id, count(*) as sent from main.int_candidates_unioned as asked
            inner join main.stg_messages as messages on asked.user_id = messages.user_id
            group by 1
        ) as capped on candidates.message_id = capped.message_id
    """,
}
USERS = [f"u{number}" for number in range(40)]
ASKED = USERS[::3]  # each of them is asked for by itself, over everybody's rows


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Forty people of nine accounts, some of none, with events and messages drawn by lot."""
    chance = random.Random(5)
    with duckdb.connect() as made:
        made.execute("create schema raw")
        made.execute("create table raw.users (user_id text, account_id text, zone text)")
        made.execute("create table raw.events (event_id text, user_id text, kind text, occurred_at timestamp)")
        made.execute("create table raw.messages (message_id text, user_id text, sent_at timestamp)")
        made.execute("create table kinds as select * from (values ('use', 1), ('value', 5)) as k (kind, weight)")
        for user in USERS:
            account = chance.choice([None, *(f"a{number}" for number in range(9))])
            made.execute(
                "insert into raw.users values (?, ?, ?)", [user, account, chance.choice(["Berlin", "Rio", None])]
            )
            for number in range(chance.randrange(6)):
                kind = chance.choice(["use", "use", "value", "noise", None])
                at = datetime(2026, 8, chance.randrange(1, 31), chance.randrange(24))
                made.execute("insert into raw.events values (?, ?, ?, ?)", [f"{user}-{number}", user, kind, at])
            for number in range(chance.randrange(3)):
                made.execute("insert into raw.messages values (?, ?, ?)", [f"m{user}{number}", user, AS_OF])
        yield made


@pytest.fixture
def slices(connection: duckdb.DuckDBPyConnection) -> Slices:
    return Slices(
        connection, Selects(MODELS, LANDED, "duckdb"), {"kinds": "main.kinds"} | {n: n for n in LANDED if "." in n}
    )


def only(user: str) -> Demand:
    return frozenset({("user_id", frozenset({user}))})


@pytest.mark.parametrize("model", ["int_activity", "int_team", "int_candidates_unioned", "int_verdicts"])
def test_each_persons_rows_are_those_of_the_whole_relation(slices: Slices, model: str) -> None:
    """Aggregates, crowds of an account, a quota over everybody, arbitration, shares of a zone: all as for everybody."""
    whole = slices.rows(model)

    assert len(whole) > 10
    for user in ASKED:
        told = slices.rows(model, only(user))
        assert sorted(map(str, told)) == sorted(str(row) for row in whole if row["user_id"] == user)


def test_only_what_looks_at_everybody_is_made_for_everybody(slices: Slices) -> None:
    """A person's activity reads that person's events; a quota over all candidates can't."""
    slices.rows("int_activity", only("u1"))
    assert not [node for (node, demand), made in slices._made.items() if made and node == "raw.events" and not demand]

    slices.rows("int_quota", frozenset({("@person", frozenset({"u1"}))}))
    whole = {node for (node, demand), made in slices._made.items() if made and not demand}
    assert "int_candidates_unioned" in whole


def test_the_rows_behind_a_value_are_those_it_was_made_of(slices: Slices) -> None:
    """A count its rows, filter and all; the first time its one row; through joins and CTEs."""
    for user in ASKED:
        events = slices.query(f"select * from raw.events where user_id = '{user}' and kind in ('use', 'value')")
        for row in slices.rows("int_team", only(user), frozenset({"uses", "activated_at", "people"})):
            uses = {one["event_id"] for one in events if one["kind"] == "use"}
            assert keys(row, "uses") == uses
            values = sorted((one["occurred_at"], one["event_id"]) for one in events if one["kind"] == "value")
            assert len(keys(row, "activated_at")) == bool(values)
            assert row["activated_at"] == (values[0][0] if values else None)
            assert len(keys(row, "people")) == (row["people"] or 0)


def keys(row: dict[str, object], column: str) -> set[str]:
    behind = row[traced_name(column)]
    assert isinstance(behind, list)
    return {next(iter(json.loads(text)["row"].values())) for text in behind}


def test_what_everybody_made_is_named_and_not_listed(slices: Slices) -> None:
    """A mean over all people has no rows of this person's; the explanation says which model made it."""
    slices.selects._add("int_mean", duckdb_select("select avg(uses) as usual from main.int_team"), {})
    slices.selects._add(
        "int_usual", duckdb_select("select t.user_id, m.usual from main.int_team t, main.int_mean m"), {}
    )

    (row,) = slices.rows("int_usual", only("u1"), frozenset({"usual"}))

    assert evidence(row[traced_name("usual")], AS_OF) == {"rows": [], "row_count": 0, "from_everybody": ["int_mean"]}


def duckdb_select(sql: str):  # noqa: ANN201
    import sqlglot

    return sqlglot.parse_one(sql, dialect="duckdb")


def test_a_probe_tells_values_and_when_time_turns_a_comparison(slices: Slices) -> None:
    """The condition as written, what it read, and the moment from which the clock alone makes it false."""
    condition = f"coalesce(seen_at > {NOW} - interval '3 days' and uses >= 2, false)"
    slices.selects._add(
        "t/conditions", duckdb_select(f"select user_id, {condition} as is_active from main.int_team"), {}
    )
    prober = Prober(slices.selects, AS_OF)
    probe = prober.probe("t/conditions", "is_active")
    assert probe is not None
    for user in ASKED:
        (row,) = slices.rows(probe.node, only(user), probe.trace)
        answer = told(probe.readings["is_active"], row, AS_OF)
        (team,) = slices.rows("int_team", only(user))

        assert answer["sql"] == "seen_at > as_of - 3 days and uses >= 2"
        assert {read["name"]: read["value"] for read in answer["reads"]} == {
            "seen_at": team["seen_at"],
            "uses": team["uses"],
        }
        seen, used = answer["checks"]
        assert used == {"sql": "uses >= 2", "value": team["uses"] >= 2, "turns_at": None}
        if team["seen_at"] is not None:
            assert seen["value"] == ((AS_OF - team["seen_at"]).total_seconds() < 3 * 86400)
            assert (seen["turns_at"] - team["seen_at"]).days == 3


def test_the_branch_of_a_case_that_decided_is_the_one_told(slices: Slices) -> None:
    """Of a rule's reasons only the numbers of the one that holds; a hash bucket goes by its name."""
    reason = (
        "case when uses > 90 then 'many' when cast('0x' || substr(md5('s:' || user_id), 1, 8) as bigint) / 4294967296e0"
        " < 2 then 'held_out' end"
    )
    slices.selects._add("r/judged", duckdb_select(f"select user_id, {reason} as reason from main.int_team"), {})
    probe = Prober(slices.selects, AS_OF).probe("r/judged", "reason", is_rule=True)
    assert probe is not None

    (row,) = slices.rows(probe.node, only("u3"), probe.trace)
    answer = told(probe.readings["reason"], row, AS_OF)

    assert answer["sql"] == "bucket < 2"
    assert [read["name"] for read in answer["reads"]] == ["bucket"]
    assert 0 <= answer["reads"][0]["value"] < 1
