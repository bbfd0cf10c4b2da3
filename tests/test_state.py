"""People's days and activity carried from tick to tick equal those made anew, whatever arrives and when."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.adapters.state import kept_models
from dagster_project.commands.run import Report
from dagster_project.home import Home
from dagster_project.settings import Settings

pytestmark = pytest.mark.slow

Tick = Callable[..., Report]
KEPT = (
    "int_user_activity",
    "int_user_days",
    "int_user_features",
    "stg_demo__received_ids",
    "stg_demo__repeated_events",
)
MADE = (
    "stg_demo__received_events",
    "stg_demo__received_ids",
    "stg_demo__repeated_events",
    "stg_demo__events",
    "stg_events",
    "int_user_days",
    "int_user_features",
    "int_user_activity",
)
BEFORE, RECEIVED = datetime(2031, 1, 10, 1, 2, 3), datetime(2031, 1, 9, 4, 5, 6)
STEPS = (0, 1, 40, 130)  # days from tick to tick: none, one, more than a window, more than there are bits
FIRST = datetime(2026, 1, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """The models' SQL as dbt compiles it, anew and moved on by each of STEPS, and how each is materialised."""

    anew: Mapping[str, str]
    moved: Mapping[int, Mapping[str, str]]
    kinds: Mapping[str, str]
    configs: Mapping[str, Mapping[str, Any]]
    vocabulary: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_company: Path) -> Made:
    home = Home(Settings(home=tmp_path_factory.mktemp("state"), data=small_company, threads=1))
    home.prepare()
    assert tuple(kept_models(home.models)) == KEPT
    nodes = {node["name"]: node for node in home.models.manifest["nodes"].values()}
    moved = {
        days: home.models.compiled(
            MADE,
            BEFORE + timedelta(days=days),
            {"moves_from": BEFORE.isoformat(sep=" "), "received_until": RECEIVED.isoformat(sep=" ")},
        )
        for days in STEPS
    }
    return Made(
        anew=home.models.compiled(MADE, BEFORE),
        moved=moved,
        kinds={name: nodes[name]["config"]["materialized"] for name in MADE},
        configs={name: nodes[name]["config"] for name in MADE},
        vocabulary=home.models.project / "seeds" / "product_events.csv",
    )


class World:
    """A warehouse in which the models are carried on, and made anew beside."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self.connection = duckdb.connect(config={"threads": 1})
        for statement in (
            "attach ':memory:' as warehouse",
            "use warehouse",
            "set TimeZone = 'UTC'",
            "create schema raw",
            "create schema anew",
            f"create table main.product_events as from read_csv('{made.vocabulary}')",
            """create table raw.raw_events (event_id varchar, user_id varchar, account_id varchar, event_name varchar,
                occurred_at timestamp, received_at timestamp, properties varchar)""",
        ):
            self.connection.execute(statement)

    def receive(self, rows: Sequence[tuple[object, ...]]) -> None:
        self.connection.executemany("insert into raw.raw_events values (?, ?, ?, ?, ?, ?, ?)", rows)

    def make(self, as_of: datetime) -> None:
        for name in MADE:
            kind = "view" if self.made.kinds[name] == "view" else "table"
            self.connection.execute(
                f"create or replace {kind} main.{name} as {_at(self.made.anew[name], BEFORE, as_of)}"
            )

    def move(self, before: datetime, as_of: datetime, received_until: datetime) -> None:
        """As the materialisation does it, in one transaction. duckdb.Error where the SQL refuses."""
        days = (as_of.date() - before.date()).days
        self.connection.execute("begin")
        try:
            for name in MADE:
                sql = _at(self.made.moved[days][name], BEFORE + timedelta(days=days), as_of)
                sql = _at(sql, RECEIVED, received_until)
                if self.made.kinds[name] == "view":
                    self.connection.execute(f"create or replace view main.{name} as {sql}")
                else:
                    self.connection.execute(_moving_on(name, sql, self.made.configs[name], received_until))
        except duckdb.Error:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    def differences(self, as_of: datetime) -> dict[str, int]:
        """Rows of each kept model that are in what was carried or in what is made anew, and not in both."""
        sql = {name: _at(self.made.anew[name], BEFORE, as_of) for name in MADE}
        found = {}
        for name in MADE:
            kind = "view" if self.made.kinds[name] == "view" else "table"
            elsewhere = sql[name].replace('"main"."stg_', '"anew"."stg_').replace('"main"."int_', '"anew"."int_')
            self.connection.execute(f"create or replace {kind} anew.{name} as {elsewhere}")
            if name in KEPT:
                columns = ", ".join(row[0] for row in self.connection.execute(f"describe anew.{name}").fetchall())
                one, other = (f"select {columns} from {schema}.{name}" for schema in ("main", "anew"))
                ((found[name],),) = self.connection.execute(
                    f"select count(*) from (({one} except all {other}) union all ({other} except all {one}))"
                ).fetchall()
        return found


def _moving_on(name: str, sql: str, config: Mapping[str, Any], until: datetime) -> str:
    """What the materialisation `kept` says to DuckDB."""
    if after := config.get("replaces_what_is_after"):
        return f"delete from main.{name} where {after} > '{until}'; insert into main.{name} by name ({sql})"
    if not (keys := config["unique_key"]):
        return f"create or replace table main.{name} as ({sql})"
    on = " and ".join(f"old.{key} is not distinct from new.{key}" for key in keys)
    forms = {"sum": "{1} + {2}", "bit_or": "{1} | {2}", "min": "least({1}, {2})", "max": "greatest({1}, {2})"}
    parts = (config.get("put_together") or {}).items()
    sets = [f"{column} = {forms[how].format(column, f'old.{column}', f'new.{column}')}" for column, how in parts]
    update = f"set {', '.join(sets)}" if sets else "by name"
    return (
        f"merge into main.{name} as old using ({sql}) as new on {on}"
        f" when matched then update {update} when not matched then insert by name"
    )


def _at(sql: str, one: datetime, other: datetime) -> str:
    return sql.replace(f"'{one.isoformat(sep=' ')}'", f"'{other.isoformat(sep=' ')}'")


NAMES = ("session_started", "signed_up", "workspace_named", "report_shared", "teammate_invited", "no_such_event")
NOTHING_WRONG = dict.fromkeys(KEPT, 0)


@st.composite
def deliveries(draw: st.DrawFn, names: Sequence[str]) -> list[tuple[object, ...]]:
    """Rows as they are received: late, again, unreadable, from clocks that run ahead."""
    rows: list[tuple[object, ...]] = []
    minutes = st.integers(0, 200 * 24 * 60)
    delays = st.one_of(st.integers(-60, 60), st.integers(0, 60 * 24 * 60))
    for number in range(draw(st.integers(1, 40))):
        occurred = FIRST + timedelta(minutes=draw(minutes))
        user = draw(st.sampled_from(["u1", "u2", "u3", None]))
        fields = (
            f"e{draw(st.integers(0, 3)) if draw(st.integers(0, 9)) == 0 else number + 10}",
            user,
            draw(st.sampled_from(["a1", "a1", None])) if draw(st.integers(0, 9)) == 0 else "a1",
            draw(st.sampled_from(names)),
            occurred,
        )
        properties = draw(st.sampled_from([None, None, "{}", '{"a":']))
        copies = range(draw(st.sampled_from([1, 1, 1, 2, 3])))
        rows.extend((*fields, occurred + timedelta(minutes=draw(delays)), properties) for _ in copies)
    return rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_carried_on_equals_made_anew_after_random_late_batches(made: Made, data: st.DataObject) -> None:
    """At every tick; a copy that contradicts what was known is refused, and then all is made anew."""
    rows = data.draw(deliveries(NAMES))
    lands_early = data.draw(st.booleans())  # as in a replay: what will be received lies there already
    world = World(made)
    before = FIRST + timedelta(days=data.draw(st.integers(0, 100)), hours=data.draw(st.integers(0, 23)))
    landed = rows if lands_early else [row for row in rows if _received(row) <= before]
    if landed:
        world.receive(landed)
    world.make(before)
    until = min([before, *([max(map(_received, landed))] if landed else [])])

    for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=4)):
        as_of = datetime.combine(before.date(), before.time()) + timedelta(days=step)
        if not lands_early and (new := [row for row in rows if before < _received(row) <= as_of]):
            world.receive(new)
            landed = [*landed, *new]
        try:
            world.move(before, as_of, until)
        except duckdb.Error as error:
            assert "changes what was known of it" in str(error)
            world.make(as_of)
        assert world.differences(as_of) == NOTHING_WRONG
        before = as_of
        until = min([as_of, *([max(map(_received, landed))] if landed else [])])


def _received(row: tuple[object, ...]) -> datetime:
    received = row[5]
    assert isinstance(received, datetime)
    return received


EVENT = ("e1", "u1", "a1", "report_shared", FIRST + timedelta(days=3))
LATER = FIRST + timedelta(days=5)


@pytest.fixture
def world(made: Made) -> World:
    world = World(made)
    world.receive([(*EVENT, FIRST + timedelta(days=3), None), ("e2", *EVENT[1:], FIRST + timedelta(days=3), None)])
    world.make(FIRST + timedelta(days=4))
    return world


def test_a_copy_that_comes_later_is_not_counted_again(world: World) -> None:
    world.receive([(*EVENT, LATER, None)])

    world.move(FIRST + timedelta(days=4), LATER, FIRST + timedelta(days=3))

    assert world.connection.execute("select events from main.int_user_days").fetchall() == [(2,)]
    assert world.differences(LATER) == NOTHING_WRONG


@pytest.mark.parametrize("change", [{2: "a0"}, {4: FIRST + timedelta(days=2)}], ids=["account", "time"])
def test_a_copy_that_changes_what_was_known_is_refused(world: World, change: dict[int, object]) -> None:
    """Its event is counted already, as it was known; min over all copies would say otherwise."""
    fields = [change.get(place, value) for place, value in enumerate(EVENT)]
    world.receive([(*fields, LATER, None)])

    with pytest.raises(duckdb.Error, match="a copy of event e1 changes what was known of it"):
        world.move(FIRST + timedelta(days=4), LATER, FIRST + timedelta(days=3))
    assert world.differences(FIRST + timedelta(days=4)) != NOTHING_WRONG  # what was carried has not moved


def test_ticks_that_move_on_decide_as_ticks_that_do_not(
    make_home: Callable[..., Home], tick: Tick, tmp_path: Path
) -> None:
    """Through dbt, with every gate: days and activity row by row, decisions by hash; a doctored table is found by a test."""
    home = make_home()
    last = home.default_as_of()
    reports = [tick(home, last - timedelta(days=days)) for days in (2, 1)]
    carried = tmp_path / "carried.duckdb"
    doctored = "update main.int_user_days set events = events + 1 where rowid = 0"
    with home.warehouse.connect() as connection:
        comments = dict(_comments(connection))
        connection.execute(doctored)
        assert dict(_comments(connection)) == comments  # so nothing but a test can see it
    reports.append(tick(home, last))
    shutil.copy(home.warehouse.path, carried)
    report = tick(make_home(home=tmp_path / "other"), last)

    assert [one.error for one in reports] == [None] * 3
    first, second, third = (one.state or "" for one in reports)
    assert first == "made anew: int_user_activity was not kept by a tick"
    assert second == f"moved on from {(last - timedelta(days=2)).isoformat()}Z"
    assert third.startswith("made anew: moved on, every_event_is_counted_in_one_user_day: ")
    with duckdb.connect(str(carried)) as connection:
        connection.execute(f"attach '{tmp_path / 'other' / home.warehouse.path.name}' as other (read_only)")
        for name in KEPT:
            one, two = f"select * from main.{name}", f"select * from other.main.{name}"
            assert connection.execute(f"{one} except all {two}").fetchall() == []
            assert connection.execute(f"{two} except all {one}").fetchall() == []
    assert report.error is None


def _comments(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    yield from connection.execute(
        "select table_name, comment from duckdb_tables() where comment is not null"
    ).fetchall()
