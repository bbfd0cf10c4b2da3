"""Models' compiled SQL run for everybody, several sides beside each other: what two sides have in common is made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagster_project.adapters.dependencies import LANDED, in_schema, reads
from dagster_project.adapters.warehouse import Connection, SqlError, Warehouse, first_line, rows_of
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.selects import STAGING


class Builds:
    """Sides in one scratch warehouse, each a schema, over the same landed rows in schema `raw`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._sides: dict[str, dict[str, str]] = {}  # side -> model -> SQL as compiled
        self.seeds: dict[str, list[str]] = {}

    def land(self, catalog: str, tables: Sequence[str]) -> None:
        """Make what landed in another catalog readable as `raw`; those there already stay."""
        self.connection.execute(f"create schema if not exists {LANDED}")
        for name in tables:
            self.connection.execute(
                f"create view if not exists {LANDED}.{name} as select * from {catalog}.{LANDED}.{name}"
            )

    def add(self, side: str, queries: Mapping[str, str], seeded: Warehouse) -> None:
        """Make every model of a side, in dbt's order, with the seeds of a warehouse. What the side before has from the same rows by the same SQL
        is not made again. InputError naming the model that can't be made."""
        connection = self.connection
        before = next(reversed(self._sides), None)
        connection.execute(f"create schema {side}")
        same = self._add_seeds(side, before, seeded)
        self._sides[side] = dict(queries)
        made = {*queries, *self.seeds[side]}  # what landed is the same for all sides
        for model, sql in queries.items():
            is_same = before is not None and self._sides[before].get(model) == sql and reads(sql) & made <= same
            try:
                if is_same:
                    same.add(model)
                    connection.execute(f"create view {side}.{model} as select * from {before}.{model}")
                    continue
                kind = "view" if model.startswith(STAGING) else "table"
                connection.execute(f"create {kind} {side}.{model} as {in_schema(sql, side)}")
            except SqlError as error:
                raise InputError(f"{model}: {first_line(error)}") from error

    def _add_seeds(self, side: str, before: str | None, seeded: Warehouse) -> set[str]:
        """Copies a side's seeds; returns those that the side before has with the same rows."""
        catalog = f"seeds_of_{side}"
        seeded.attach_to(self.connection, catalog)
        self.seeds[side] = [
            name
            for (name,) in self.connection.execute(
                "select table_name from information_schema.tables where table_catalog = ? order by 1", [catalog]
            ).fetchall()
        ]
        for name in self.seeds[side]:
            self.connection.execute(f"create table {side}.{name} as select * from {catalog}.main.{name}")
        self.connection.execute(f"detach {catalog}")
        return {name for name in self.seeds[side] if before is not None and self._is_same_seed(name, side, before)}

    def _is_same_seed(self, name: str, side: str, before: str) -> bool:
        one, other = f"{side}.{name}", f"{before}.{name}"
        if name not in self.seeds[before]:
            return False
        described = [self.connection.execute(f"describe {table}").fetchall() for table in (one, other)]
        if described[0] != described[1]:
            return False
        apart = f"(select * from {one} except all select * from {other}) union all (select * from {other} except all select * from {one})"
        return self.connection.execute(f"select count(*) from ({apart})").fetchone() == (0,)

    def columns(self, schema: str, catalog: str | None = None) -> dict[str, list[str]]:
        """The columns of a schema's relations: those of `raw` by `raw.<name>`, those of a side by their names alone."""
        found: dict[str, list[str]] = {}
        for table, column in self.connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = ?"
            " and table_catalog = coalesce(?, current_database()) order by table_name, ordinal_position",
            [schema, catalog],
        ).fetchall():
            found.setdefault(f"{LANDED}.{table}" if schema == LANDED else table, []).append(column)
        return found

    def rows(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, Any]]:
        """The rows of one query as dictionaries."""
        return rows_of(self.connection, sql, parameters)
