"""When a tick may move on what the last one kept, and why not otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import duckdb
import pytest

from dagster_project.adapters.models import Models
from dagster_project.adapters.state import Carrying, carrying, kept_models, made_anew
from dagster_project.adapters.warehouse import Warehouse
from dagster_project.demo.sources import DEMO, YAMMER
from dagster_project.lifecycle.source import SourcePack

MONDAY, TUESDAY = datetime(2026, 8, 31, 9), datetime(2026, 9, 1, 9)


class Source:
    """A source with two files of events, its warehouse, and ticks over them that keep `one` and `two`."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.warehouse = Warehouse(folder / "warehouse.duckdb")
        self.sql = "select 1"
        self.pack = DEMO
        (self.data / "events").mkdir(parents=True)
        macros = folder / "macros"
        macros.mkdir()
        for name in ("state.sql", "materializations.sql"):
            (macros / name).write_text(name)
        self.project = folder
        for table in DEMO.tables:
            if table.name != "raw_events":
                columns = ", ".join(
                    f"null::{'timestamp' if name.endswith('_at') else 'boolean' if name.startswith('is_') else 'varchar'} as {name}"
                    for name in table.columns
                )
                duckdb.execute(f"copy (select {columns} limit 0) to '{self.data / table.path}' (format parquet)")
        self.receive("part-1", "2026-08-30 10:00:00")
        self.receive("part-2", "2026-08-31 08:00:00")

    def receive(self, name: str, received_at: str) -> None:
        """Write a file with one event that was received then."""
        duckdb.execute(f"""
            copy (
                select '{name}' as event_id, 'u1' as user_id, 'a1' as account_id, 'x' as event_name,
                    timestamp '{received_at}' as occurred_at, timestamp '{received_at}' as received_at,
                    null::varchar as properties
            ) to '{self.data / "events" / name}.parquet' (format parquet)
        """)

    @property
    def models(self) -> Models:
        node = {"checksum": {"checksum": "same"}, "depends_on": {"nodes": []}}
        return cast(
            Models,
            SimpleNamespace(
                project=self.project,
                manifest={"nodes": {name: {**node, "name": name} for name in ("one", "two")}},
                materializations=lambda: {"one": "kept", "two": "kept", "three": "table"},
                queries=lambda _: {"one": self.sql, "two": "select 2"},
            ),
        )

    def plan(self, as_of: datetime) -> Carrying:
        """Land, and say how a tick would make the kept models."""
        self.warehouse.land(DEMO, self.data)
        return carrying(self.warehouse, self.models, self.pack, self.data, as_of)

    def tick(self, as_of: datetime, models: tuple[str, ...] = ("one", "two")) -> Carrying:
        """A tick that makes these of the kept models, as the materialisation does."""
        planned = self.plan(as_of)
        with self.warehouse.connect() as connection:
            for name in models:
                connection.execute(f"create or replace table main.{name} as select 1 as a")
                comment = f'{{"rows": 1, "kept_as": {planned.variables["kept_as"]}}}'.replace("'", "''")
                connection.execute(f"comment on table main.{name} is '{comment}'")
        return planned


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def test_what_a_tick_kept_is_moved_on_by_the_next(source: Source) -> None:
    first, second = source.tick(MONDAY), source.plan(TUESDAY)

    assert (first.moves_on, first.told) == (False, "made anew: one was not kept by a tick")
    assert (second.moves_on, second.told) == (True, "moved on from 2026-08-31T09:00:00Z")
    # not from the tick's time: what is received between the last event and the tick may land later
    assert second.variables["received_until"] == "2026-08-31 08:00:00"
    assert second.variables["moves_from"] == "2026-08-31 09:00:00"


def test_a_new_file_of_later_receipts_moves_on(source: Source) -> None:
    source.tick(MONDAY)
    source.receive("part-3", "2026-08-31 08:00:01")

    assert source.plan(TUESDAY).moves_on


def test_a_tick_at_the_same_time_moves_on_by_nothing(source: Source) -> None:
    source.tick(MONDAY)

    assert source.plan(MONDAY).moves_on


def _late_file(source: Source) -> None:
    source.receive("part-3", "2026-08-31 08:00:00")


def _changed_file(source: Source) -> None:
    source.receive("part-1", "2026-08-30 10:00:00")
    os.utime(source.data / "events" / "part-1.parquet", (1, 1))


def _lost_file(source: Source) -> None:
    (source.data / "events" / "part-1.parquet").unlink()


def _changed_sql(source: Source) -> None:
    source.sql = "select 1 as one"


def _changed_macro(source: Source) -> None:
    (source.project / "macros" / "state.sql").write_text("other")


def _damaged_table(source: Source) -> None:
    _execute(source, "insert into main.one values (2)")


def _lost_table(source: Source) -> None:
    _execute(source, "drop table main.two")


def _table_built_by_hand(source: Source) -> None:
    _execute(source, "create or replace table main.two as select 1 as a")


def _comment_of_somebody(source: Source) -> None:
    _execute(source, "comment on table main.two is 'ours'")


def _broken_off(source: Source) -> None:
    source.tick(datetime(2026, 8, 31, 10), models=("one",))


def _execute(source: Source, sql: str) -> None:
    with source.warehouse.connect() as connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (_late_file, "events/part-3.parquet brought events received by 2026-08-31 08:00:00"),
        (_changed_file, "events/part-1.parquet of the source has changed"),
        (_lost_file, "events/part-1.parquet is gone from the source"),
        (_changed_sql, "their SQL, vars, vocabulary or engine has changed"),
        (_changed_macro, "their SQL, vars, vocabulary or engine has changed"),
        (_damaged_table, "one has 2 rows, and not 1 as it was kept"),
        (_lost_table, "two was not kept by a tick"),
        (_table_built_by_hand, "two was not kept by a tick"),
        (_comment_of_somebody, "two was not kept by a tick"),
        (_broken_off, "a tick was broken off between them"),
    ],
)
def test_every_doubt_is_a_full_recompute_with_its_reason(
    source: Source, happens: Callable[[Source], None], reason: str
) -> None:
    source.tick(MONDAY)
    assert source.plan(TUESDAY).moves_on

    happens(source)
    planned = source.plan(TUESDAY)

    assert (planned.moves_on, planned.told) == (False, f"made anew: {reason}")
    assert planned.variables.keys() == {"kept_as"}
    assert json.loads(str(planned.variables["kept_as"]))["told"] == planned.told


def test_a_tick_at_an_earlier_time_makes_all_anew(source: Source) -> None:
    source.tick(TUESDAY)

    assert source.plan(MONDAY).told == "made anew: they stand at 2026-09-01T09:00:00Z, which is later"


def test_another_source_makes_all_anew(source: Source) -> None:
    source.tick(MONDAY)
    source.pack = SourcePack("other", DEMO.tables, DEMO.gate)

    assert source.plan(TUESDAY).told == "made anew: they are of source demo"


def test_a_source_that_does_not_tell_receipts_is_never_moved_on(source: Source) -> None:
    source.tick(MONDAY)
    source.pack = SourcePack("demo", DEMO.tables, {**DEMO.gate, "event_received_at": None})

    assert source.plan(TUESDAY).told == "made anew: source demo does not tell when its events were received"
    assert YAMMER.gate["event_received_at"] is None


def test_events_after_none_were_there_move_on(source: Source) -> None:
    for file in (source.data / "events").iterdir():
        duckdb.execute(f"copy (select * from '{file}' limit 0) to '{file}' (format parquet)")
    source.tick(MONDAY)
    source.receive("part-3", "2026-08-31 09:00:01")

    assert source.plan(TUESDAY).variables["received_until"] == "2026-08-31 09:00:00"


def test_what_could_not_be_moved_on_is_made_anew_of_the_same(source: Source) -> None:
    source.tick(MONDAY)
    planned = source.plan(TUESDAY)

    anew = made_anew(planned, "the disk was full")
    was, now = (json.loads(str(one.variables["kept_as"])) for one in (planned, anew))

    assert anew.told == "made anew: the disk was full"
    assert anew.variables.keys() == {"kept_as"}
    assert {**was, "told": ""} == {**now, "told": ""}


def test_the_kept_models_are_those_that_say_so(source: Source) -> None:
    assert kept_models(source.models) == ["one", "two"]
