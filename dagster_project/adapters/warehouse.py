"""The DuckDB warehouse: landing what was received, reading and writing relations. One process at a time."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.source import RawTable, SourcePack

LANDED_FILES = "raw.landed_files"  # what lies in `raw`, by the files' names, sizes and times of change
SqlError = duckdb.Error  # what is wrong with SQL that somebody else wrote
Connection = duckdb.DuckDBPyConnection


class Warehouse:
    """One DuckDB file. Every connection is closed at the end of its `with`, so that dbt and the gates can follow."""

    def __init__(self, path: Path, threads: int = 4) -> None:
        self.path = path
        self.threads = threads

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in UTC; raises InputError when another process holds the file or it is no DuckDB file."""
        try:
            connection = duckdb.connect(str(self.path), config={"threads": self.threads})
        except duckdb.IOException as error:
            raise InputError(_locked(self.path, error)) from error
        except duckdb.Error as error:
            raise InputError(f"{self.path}: can't be opened as a DuckDB warehouse: {first_line(error)}") from error
        try:
            connection.execute("set TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()

    def attach_to(self, connection: Connection, name: str) -> None:
        """Let another warehouse's connection read this one as the catalog `name`; nothing of it is written. InputError as in
        `connect`."""
        try:
            connection.execute(f"attach '{self.path}' as {name} (read_only)")
        except duckdb.IOException as error:
            raise InputError(_locked(self.path, error)) from error
        except duckdb.Error as error:
            raise InputError(f"{self.path}: can't be opened as a DuckDB warehouse: {first_line(error)}") from error

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of one query as dictionaries."""
        with self.connect() as connection:
            return rows_of(connection, sql, parameters)

    def counts(self, tables: Sequence[str], schema: str = "main") -> dict[str, int]:
        """Rows of each of these tables. One that isn't there is left out, and so is a view: to count its rows is to make them."""
        with self.connect() as connection:
            present = {
                row[0]
                for row in connection.execute(
                    "select table_name from information_schema.tables where table_schema = ? and table_type = 'BASE TABLE'",
                    [schema],
                ).fetchall()
            }
            asked = [name for name in tables if name in present]
            if not asked:
                return {}
            union = " union all ".join(f"select '{name}' as name, count(*) as n from {schema}.{name}" for name in asked)
            return dict(connection.execute(union).fetchall())

    def first_rows(self, queries: Mapping[str, str]) -> dict[str, tuple[tuple[Any, ...] | str, float]]:
        """name → the first row of its query, or the line with which the engine refused it, and seconds. One connection for all."""
        found: dict[str, tuple[tuple[Any, ...] | str, float]] = {}
        with self.connect() as connection:
            for name, sql in queries.items():
                started = time.perf_counter()
                try:
                    answer = connection.execute(sql).fetchone() or ()
                except duckdb.Error as error:
                    answer = " ".join(str(error).split())
                found[name] = (answer, time.perf_counter() - started)
        return found

    def examples(self, sql: str, limit: int = 5) -> list[str]:
        """The first column of the first rows of a query: the keys that a person would look up."""
        with self.connect() as connection:
            return [str(row[0]) for row in connection.execute(f"select * from ({sql}) limit {limit}").fetchall()]

    def columns(self) -> dict[str, list[str]]:
        """The columns of every relation, in order: by its name alone in `main`, else by schema and name."""
        found: dict[str, list[str]] = {}
        for row in self.rows(
            "select table_schema, table_name, column_name from information_schema.columns"
            " order by table_schema, table_name, ordinal_position"
        ):
            schema, table = row["table_schema"], row["table_name"]
            found.setdefault(table if schema == "main" else f"{schema}.{table}", []).append(row["column_name"])
        return found

    def copy_landed(self, to: Path) -> None:
        """Copy every landed table into another warehouse file, where models can be built as of another time."""
        with self.connect() as connection:
            connection.execute(f"attach '{to}' as scratch")
            connection.execute("create schema scratch.raw")
            for (name,) in connection.execute(
                "select table_name from information_schema.tables where table_schema = 'raw' and table_catalog <> 'scratch'"
            ).fetchall():
                connection.execute(f"create table scratch.raw.{name} as select * from raw.{name}")
            connection.execute("detach scratch")

    def write(self, tables: Mapping[str, pa.Table], schema: str = "main") -> dict[str, int]:
        """Replace these tables, all or none; returns rows per table."""
        with self.connect() as connection, _transaction(connection):
            connection.execute(f"create schema if not exists {schema}")
            for name, table in tables.items():
                connection.register("arriving", table)
                connection.execute(f"create or replace table {schema}.{name} as select * from arriving")
                connection.unregister("arriving")
        return {name: table.num_rows for name, table in tables.items()}

    def write_pieces(self, name: str, pieces: Iterable[pa.Table], schema: str = "main") -> int:
        """Replace this table by at least one piece, one after another, all or none; returns rows. A piece is let go when the next
        one is asked for."""
        rows = 0
        with self.connect() as connection, _transaction(connection):
            connection.execute(f"create schema if not exists {schema}")
            for piece in pieces:
                connection.register("arriving", piece)
                do = f"insert into {schema}.{name}" if rows else f"create or replace table {schema}.{name} as"
                connection.execute(f"{do} select * from arriving")
                connection.unregister("arriving")
                rows += piece.num_rows
                del piece
        return rows

    def land(self, pack: SourcePack, data: Path, rows: int | None = None) -> dict[str, int]:
        """Land a pack's files as `raw.<table>`, unchanged, all or none; returns rows per table. `rows`: of each only so many.

        Raises InputError naming the file and column when one is missing or unreadable. Columns that the
        pack doesn't know are left out: a new column in a source must not stop the mail.
        """
        if not data.is_dir():
            raise InputError(f"--data {data}: no such folder; allowed is a folder with the files of pack {pack.name}")
        with self.connect() as connection, _transaction(connection):
            connection.execute("create schema if not exists raw")
            connection.execute(
                f"create or replace table {LANDED_FILES} (table_name varchar, path varchar, bytes bigint, modified_ns bigint)"
            )
            return {table.name: _land_table(connection, table, data, rows) for table in pack.tables}


@contextlib.contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    connection.execute("begin")
    try:
        yield
    except BaseException:
        # DuckDB has rolled back by itself when the disk is full; a second rollback would hide that error.
        with contextlib.suppress(duckdb.Error):
            connection.execute("rollback")
        raise
    connection.execute("commit")


def _land_table(connection: Connection, table: RawTable, data: Path, most: int | None) -> int:
    if not any(data.glob(table.path)):
        if table.is_optional:
            connection.execute(
                f"create or replace table raw.{table.name} ({', '.join(f'{name} varchar' for name in table.columns)})"
            )
            return 0
        raise InputError(f"{data / table.path}: no such file; pack needs it for {table.name}")
    file = str(data / table.path)
    # Before they are read: a file that changes meanwhile is another one for the next tick.
    for path in sorted(data.glob(table.path)):
        stat = path.stat()
        connection.execute(
            f"insert into {LANDED_FILES} values (?, ?, ?, ?)",
            [table.name, str(path.relative_to(data)), stat.st_size, stat.st_mtime_ns],
        )
    # CSV is landed as text: a cast belongs to staging, where what can't be cast is counted and not lost.
    reader = "read_csv(?, all_varchar = true, header = true)" if ".csv" in table.path else "read_parquet(?)"
    try:
        found = {row[0]: row[1] for row in connection.execute(f"describe select * from {reader}", [file]).fetchall()}
        missing = [name for name in table.columns if name not in found]
        if missing:
            raise InputError(
                f"{file}: column {', '.join(missing)} is missing; found {', '.join(found)}; "
                f"needed are {', '.join(table.columns)}"
            )
        if ".csv" not in table.path:
            _check_types(connection, file, {name: found[name] for name in table.columns})
        connection.execute(
            f"create or replace table raw.{table.name} as select {', '.join(table.columns)} from {reader}"
            + ("" if most is None else f" limit {most}"),
            [file],
        )
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise InputError(f"{table.name}: the disk is full: {first_line(error)}") from error
        kind = "CSV" if ".csv" in table.path else "Parquet"
        raise InputError(f"{file}: not readable as {kind}: {first_line(error)}") from error
    (rows,) = connection.execute(f"select count(*) from raw.{table.name}").fetchone() or (0,)
    return int(rows)


def _check_types(connection: Connection, file: str, types: Mapping[str, str]) -> None:
    """InputError for a column whose type no staging model could read. Names are the contract's: times end in `_at`."""
    for name, kind in types.items():
        if name.endswith("_at"):
            allowed, fits = "a timestamp or date", kind.startswith(("TIMESTAMP", "DATE"))
        elif name.startswith("is_"):
            allowed, fits = "a boolean", kind == "BOOLEAN"
        else:
            allowed = "a text or a number"
            fits = name == "properties" or (not kind.endswith("]") and not kind.startswith(("STRUCT", "MAP", "BLOB")))
        # A column without a single value is written by many tools as numbers: it has nothing that could not be read.
        if not fits and connection.execute(f"select count({name}) > 0 from read_parquet(?)", [file]).fetchone() == (
            True,
        ):
            raise InputError(f"{file}: column {name} is {kind}; allowed is {allowed}")


def rows_of(
    connection: Connection, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> list[dict[str, Any]]:
    """The rows of one query as dictionaries."""
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def first_line(error: Exception) -> str:
    """The first line of what DuckDB says, which names the table or column."""
    return str(error).strip().splitlines()[0][:300]


def _locked(path: Path, error: duckdb.IOException) -> str:
    holder = re.search(r"PID (\d+)", str(error))
    if "lock" in str(error).lower():
        who = f"process {holder[1]}" if holder else "another process"
        return f"{path}: the warehouse is locked by {who}; one process at a time may open it"
    return f"{path}: the warehouse can't be opened: {first_line(error)}"
