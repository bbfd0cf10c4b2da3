"""The warehouse file: what lands is what was received, all of it or nothing, and one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from dagster_project.adapters.warehouse import Warehouse
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.source import RawTable, SourcePack

PACK = SourcePack(
    name="little",
    tables=(
        RawTable("raw_users", "users.parquet", ("user_id", "created_at")),
        RawTable("raw_events", "events/*.parquet", ("event_id", "user_id")),
        RawTable("raw_tickets", "tickets.csv", ("ticket_id", "subject"), is_optional=True),
    ),
    gate={},
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.duckdb", threads=1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two users, one with a column that nobody asked for, and three events in two files."""
    folder = tmp_path / "data"
    (folder / "events").mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select 'u' || i as user_id, timestamp '2026-01-01' as created_at, 'new' as shoe_size"
            f" from range(2) as t(i)) to '{folder}/users.parquet'"
        )
        for name, rows in (("a", "range(2)"), ("b", "range(2, 3)")):
            connection.execute(
                f"copy (select 'e' || i as event_id, 'u0' as user_id from {rows} as t(i))"
                f" to '{folder}/events/{name}.parquet'"
            )
    return folder


def tables_of(warehouse: Warehouse) -> set[str]:
    rows = warehouse.rows("select table_schema || '.' || table_name as name from information_schema.tables")
    return {row["name"] for row in rows}


def test_what_lands_is_what_was_received(warehouse: Warehouse, data: Path) -> None:
    """Every row of every file, the asked columns only, and an optional file that is missing as an empty table."""
    landed = warehouse.land(PACK, data)

    assert landed == {"raw_users": 2, "raw_events": 3, "raw_tickets": 0}
    assert warehouse.counts(list(landed), schema="raw") == landed
    (user,) = warehouse.rows("select * from raw.raw_users where user_id = ?", ["u1"])
    assert list(user) == ["user_id", "created_at"]


def test_a_csv_lands_as_the_text_it_is(warehouse: Warehouse, data: Path) -> None:
    """A cast belongs to staging, where what can't be cast is counted: '007' keeps its zeros."""
    (data / "tickets.csv").write_text("ticket_id,subject\n007,1e3\n")

    warehouse.land(PACK, data)

    assert warehouse.rows("select * from raw.raw_tickets") == [{"ticket_id": "007", "subject": "1e3"}]


def test_landing_is_all_or_nothing(warehouse: Warehouse, data: Path) -> None:
    """The last table is unreadable: the ones before it keep the rows of the last landing."""
    warehouse.land(PACK, data)
    with duckdb.connect() as connection:
        connection.execute(f"copy (select 'u9' as user_id, now() as created_at) to '{data}/users.parquet'")
    (data / "events" / "b.parquet").write_bytes(b"PAR1 torn")

    with pytest.raises(InputError, match=r"events/\*\.parquet: not readable as Parquet"):
        warehouse.land(PACK, data)

    assert warehouse.counts(["raw_users", "raw_events"], schema="raw") == {"raw_users": 2, "raw_events": 3}


def test_a_missing_column_and_a_missing_file_are_named(warehouse: Warehouse, data: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"copy (select 'u9' as user_id) to '{data}/users.parquet'")
    with pytest.raises(InputError, match=r"users\.parquet: column created_at is missing; found user_id; needed are"):
        warehouse.land(PACK, data)
    (data / "users.parquet").unlink()
    with pytest.raises(InputError, match=r"users\.parquet: no such file; pack needs it for raw_users"):
        warehouse.land(PACK, data)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        warehouse.land(PACK, data / "nowhere")
    assert tables_of(warehouse) == set()


def test_tables_are_written_together_or_not_at_all(warehouse: Warehouse) -> None:
    """The second name can't be a table's: the first keeps what it held."""
    warehouse.write({"drafts": pa.table({"message_id": ["m1"]})})

    with pytest.raises(duckdb.Error):
        warehouse.write({"drafts": pa.table({"message_id": ["m2"]}), "no such": pa.table({"a": [1]})})

    assert warehouse.rows("select * from drafts") == [{"message_id": "m1"}]


def test_counts_leave_out_what_is_not_there(warehouse: Warehouse) -> None:
    warehouse.write({"drafts": pa.table({"message_id": ["m1", "m2"]})})

    assert warehouse.counts(["drafts", "reviews"]) == {"drafts": 2}
    assert warehouse.counts(["reviews"]) == {}
    assert warehouse.counts(["drafts"], schema="raw") == {}


def test_examples_are_the_first_keys(warehouse: Warehouse) -> None:
    assert warehouse.examples("select i as key, 'x' as other from range(9) as t(i) order by i", limit=3) == [
        "0", "1", "2",
    ]  # fmt: skip


def test_a_scratch_copy_holds_the_landed_tables_and_no_others(warehouse: Warehouse, data: Path, tmp_path: Path) -> None:
    """Models built as of another time start from the same rows; nothing that a tick derived comes along."""
    warehouse.land(PACK, data)
    warehouse.write({"drafts": pa.table({"message_id": ["m1"]})})

    warehouse.copy_landed(tmp_path / "scratch.duckdb")

    scratch = Warehouse(tmp_path / "scratch.duckdb")
    assert tables_of(scratch) == {"raw.raw_users", "raw.raw_events", "raw.raw_tickets", "raw.landed_files"}
    for name in ("raw_users", "raw_events"):
        sql = f"select * from raw.{name} order by all"
        assert scratch.rows(sql) == warehouse.rows(sql)


def test_times_are_read_in_utc(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's zone: a time with an offset becomes the UTC time it means."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    (row,) = warehouse.rows("select timestamptz '2026-01-01 00:00:00+02'::timestamp as t")
    assert row["t"].isoformat() == "2025-12-31T22:00:00"


def test_a_file_held_by_another_process_is_refused_with_its_number(warehouse: Warehouse) -> None:
    """DuckDB takes one process at a time; the holder's number is what a person needs to end it."""
    code = (
        f"import duckdb,sys; c = duckdb.connect({str(warehouse.path)!r}); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"locked by process {holder.pid}; one process at a time"):
            warehouse.rows("select 1")
        holder.communicate("")

    assert warehouse.rows("select 1 as one") == [{"one": 1}]


def test_a_file_that_is_no_warehouse_is_named(warehouse: Warehouse) -> None:
    warehouse.path.write_bytes(b"this is no database" * 1000)

    with pytest.raises(InputError, match=r"warehouse\.duckdb: .*(not a valid DuckDB|can't be opened)"):
        warehouse.rows("select 1")


def test_the_file_is_free_after_an_error(warehouse: Warehouse) -> None:
    """A connection that outlived its error would lock dbt out of the file."""
    with pytest.raises(duckdb.Error):
        warehouse.rows("select nonsense")

    code = f"import duckdb; duckdb.connect({str(warehouse.path)!r}).execute('select 1')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
