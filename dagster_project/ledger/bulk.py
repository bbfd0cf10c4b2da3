"""Many rows in one go. The general path of SQLAlchemy spends some 15 µs per row and statement on parameters alone; ten thousand drafts
are seven such statements, so those that plan, draft and route hand their rows to the driver directly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

Row = Mapping[str, Any]


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows that all name the same columns. A conflict is an error, as in any INSERT."""
    if rows:
        names = list(rows[0])
        is_copied = connection.dialect.name == "postgresql"
        values = [tuple(row[name] for name in names) for row in rows] if is_copied else _for_sqlite(rows, names)
        insert_tuples(connection, table, names, values)


def insert_tuples(
    connection: sa.Connection, table: sa.Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows whose values stand in the order of `names`, times in the database's own form."""
    columns = ", ".join(_quoted(connection, name) for name in names)
    if connection.dialect.name == "postgresql":
        cursor: Any = connection.connection.cursor()  # of the driver, inside this transaction
        with cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" * len(names))
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", rows)


def upsert_rows(connection: sa.Connection, table: sa.Table, keys: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows, or set their other columns where the keys are there; both databases have the same words for it."""
    if not rows:
        return
    names = list(rows[0])
    columns = ", ".join(_quoted(connection, name) for name in names)
    sets = ", ".join(
        f"{_quoted(connection, name)} = excluded.{_quoted(connection, name)}" for name in names if name not in keys
    )
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    marks = ", ".join([mark] * len(names))
    statement = (
        f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    )
    values = [tuple(_day(value) if mark == "?" else value for value in row.values()) for row in rows]
    connection.exec_driver_sql(statement, values)


def _day(value: Any) -> Any:
    """A date in SQLAlchemy's own form; no table that is written so has times."""
    return value.isoformat() if type(value) is date else value


def update_rows(
    connection: sa.Connection, table: sa.Table, names: Sequence[str], rows: Sequence[Row], keys: Mapping[str, str]
) -> int:
    """Set the columns `names` in each row whose key columns have the given values; returns how many rows were set.

    `keys` maps a column that is compared to the name of its value in `rows`.
    """
    if not rows:
        return 0
    compared = [_quoted(connection, key) for key in keys]
    wanted = [*names, *keys.values()]
    if connection.dialect.name == "postgresql":
        types = [table.c[name].type.compile(connection.dialect) for name in (*names, *keys)]
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        given = [f"v{position}" for position in range(len(wanted))]
        sets = ", ".join(f"{_quoted(connection, name)} = {one}" for name, one in zip(names, given, strict=False))
        match = " AND ".join(f"t.{key} = {one}" for key, one in zip(compared, given[len(names) :], strict=True))
        statement = f"UPDATE {table.name} t SET {sets} FROM unnest({arrays}) v({', '.join(given)}) WHERE {match}"
        return connection.exec_driver_sql(statement, tuple([row[name] for row in rows] for name in wanted)).rowcount
    sets = ", ".join(f"{_quoted(connection, name)} = ?" for name in names)
    match = " AND ".join(f"{key} = ?" for key in compared)
    statement = f"UPDATE {table.name} SET {sets} WHERE {match}"
    return connection.exec_driver_sql(statement, _for_sqlite(rows, wanted)).rowcount


def _quoted(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _for_sqlite(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values in order, times in SQLAlchemy's own form, which reads back as one. A batch has few different times."""
    times: dict[datetime, str] = {}
    by_column: list[list[Any]] = []
    for name in names:
        values = [row[name] for row in rows]
        first = next((value for value in values if value is not None), None)
        if isinstance(first, datetime):
            times |= {value: value.isoformat(" ", "microseconds") for value in set(values) if value is not None}
            values = [times.get(value) for value in values]
        by_column.append(values)
    return list(zip(*by_column, strict=True))
