"""The models' own SQL run for a few rows: what a demand needs is made in temporary tables of one connection."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
from sqlglot import exp

from dagster_project.adapters.warehouse import Connection, Warehouse, rows_of
from dagster_project.lifecycle.cutting import EVERYTHING, PERSON, Cutter, Demand
from dagster_project.lifecycle.people import PERSON_ID, People
from dagster_project.lifecycle.reading import Probe
from dagster_project.lifecycle.selects import Selects
from dagster_project.lifecycle.sql_parts import own, tables
from dagster_project.lifecycle.tracing import NOTHING_TRACED, Tracer

MUCH = 50_000  # rows
# Landed rows up to which a past moment is made whole. Whom a person competes with depends on everybody at that hour: cut to them, step by
# step, 10,000 people with 1.1 million events took 75 s, and everybody takes 2. Ten million take 9 s; beyond, people are cut out.
MOST_ROWS = 20_000_000
_RELATION = re.compile(r'"\w+"\."(\w+)"\."(\w+)"')
MOST_VALUES = 20_000  # of a column; beyond, a list of them costs more than reading the relation


@contextlib.contextmanager
def open_slices(
    warehouse: Warehouse,
    columns: Mapping[str, list[str]],
    queries: Mapping[str, str],
    *,
    is_built: bool,
    landed: Mapping[str, pa.Table],
) -> Iterator[Slices]:
    """Slices of one warehouse for the `with`. Where its models are built for these queries' time they are read as they
    stand; else all but what was landed, and the seeds, is made from the SQL. `landed` replaces tables of `raw`."""
    stored = {name: name if "." in name else f'main."{name}"' for name in columns if is_built or name not in queries}
    with warehouse.connect() as connection:
        for name, table in landed.items():
            connection.register(f"landed_{name}", table)
            stored[f"raw.{name}"] = f"landed_{name}"
        if not is_built and _rows_landed(connection) <= MOST_ROWS:
            stored |= _made_whole(connection, queries, stored)
        yield Slices(connection, Selects(queries, columns, "duckdb"), stored)


def _rows_landed(connection: Connection) -> int:
    ((rows,),) = connection.execute(
        "select coalesce(sum(estimated_size), 0) from duckdb_tables() where schema_name = 'raw'"
    ).fetchall()
    return int(rows)


def _made_whole(connection: Connection, queries: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """Every model for everybody, in the order of the queries, in temporary tables: model -> its name. What a tick made as a view
    is one here too."""
    made: dict[str, str] = {}
    views = {
        name
        for (name,) in connection.execute("select view_name from duckdb_views() where schema_name = 'main'").fetchall()
    }

    def standing(found: re.Match[str]) -> str:
        schema, name = found.groups()
        return (made.get(name) or stored.get(name) if schema == "main" else stored.get(f"{schema}.{name}")) or found[0]

    for name, sql in queries.items():
        kind = "view" if name in views else "table"
        connection.execute(f'create temp {kind} "whole_{name}" as {_RELATION.sub(standing, sql)}')
        made[name] = f'"whole_{name}"'
    return made


class Slices:
    """Relations cut to demands, each made once. `stored` are those that exist: node -> name in the warehouse."""

    def __init__(self, connection: Connection, selects: Selects, stored: Mapping[str, str]) -> None:
        self.connection = connection
        self.selects = selects
        self.stored = {selects.same(node): name for node, name in stored.items()}
        self._people = People(selects)
        self._cutter = Cutter(selects, self._people)
        self._tracer = Tracer(selects)
        self._count = 0
        self._prefix = f"slice_{id(self)}_"
        self._made: dict[tuple[str, Demand], list[tuple[frozenset[str], str]]] = {}
        self._much: set[str] = set()
        self._values: dict[tuple[str, Demand, str], frozenset[object] | None] = {}
        self._witnesses: dict[tuple[str, str, frozenset[object]], Demand] = {}

    def rows(self, node: str, demand: Demand = EVERYTHING, trace: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
        """The rows of a node that meet a demand."""
        return self.query(f"select * from {self.table(node, demand, trace)}")

    def query(self, sql: str) -> list[dict[str, Any]]:
        return rows_of(self.connection, sql)

    def table(self, node: str, demand: Demand = EVERYTHING, trace: frozenset[str] = frozenset()) -> str:
        """The name of a table that has a node's rows that meet a demand, with the rows behind the traced columns.

        A demand for people is met at least: rows of others may be there.
        """
        node = self.selects.same(node)
        demand = self._settled(node, demand)
        if not self._people.is_about_people(node):
            demand = EVERYTHING  # one table serves all; who asked joins or filters by what it asked for
        known = self._made.setdefault((node, demand), [])
        for there, name in known:
            if trace <= there and (trace or not there):  # a plain `select *` must not find the traces' columns
                return name
        name = self._make(node, demand, trace)
        known.append((trace, name))
        return name

    def values(self, node: str, demand: Demand, column: str) -> frozenset[object] | None:
        """The values of a column in the rows that meet a demand; None when they are too many to be pushed."""
        node = self.selects.same(node)
        key = (node, self._settled(node, demand), column)
        if key not in self._values:
            rows = self.connection.execute(
                f'select distinct "{column}" from (select * from {self.table(node, demand)}{_where(key[1])})'
                f" limit {MOST_VALUES + 1}"
            ).fetchall()
            found = frozenset(row[0] for row in rows) if len(rows) <= MOST_VALUES else None
            if found is not None:
                self._witnesses.setdefault((node, column, found - {None}), key[1])
            self._values[key] = found
        return self._values[key]

    def _settled(self, node: str, demand: Demand) -> Demand:
        """A demand for people is one for their ids where the node has them."""
        if not any(column == PERSON for column, _ in demand):
            return demand
        if PERSON_ID in self.selects.columns(node) and self._people.is_personal(node, PERSON_ID):
            return frozenset((PERSON_ID if column == PERSON else column, allowed) for column, allowed in demand)
        return demand

    def _make(self, node: str, demand: Demand, trace: frozenset[str]) -> str:
        if trace and self._tracer.is_base(node):
            return self._create(self._tracer.base(node, self.table(node, demand), trace))
        if node in self.stored and not (trace and self._tracer.reaches_base(node)):
            return self._cut(node, demand)
        if node not in self.selects.nodes:
            raise KeyError(node)
        pushed = self._cutter.push(node, demand, self.values)
        if trace and self._people.is_about_people(node) and (not demand or not pushed):
            return self._create(self._tracer.whole(node, self.table(node, demand), trace), is_much=True)
        needs: Mapping[str, frozenset[str]] = {}
        if trace:
            tree, needs = self._tracer.traced(node, trace)
        else:
            tree = self.selects.nodes[node].copy()
        nested = {id(table) for table in tree.find_all(exp.Table)} - {id(table) for table in own(tree, exp.Table)}
        is_much = False
        for table in tables(tree):
            alias = table.name if node in self.selects.branches else table.alias
            source = self.selects.same(table.name)
            part = (
                pushed.get(alias, EVERYTHING)
                if id(table) not in nested or node in self.selects.branches
                else EVERYTHING
            )
            part = self._witnessed(node, alias, source, part)
            made = self.table(source, part, needs.get(alias, NOTHING_TRACED))
            is_much = is_much or made in self._much
            table.set("this", exp.to_identifier(made))
        sql = f"select * from ({tree.sql(dialect=self.selects.dialect)}){_where(demand)}"
        if is_much and not trace and node not in self.selects.models:
            return self._create(sql, is_much=True)
        return self._create(sql)

    def _cut(self, node: str, demand: Demand) -> str:
        """What is stored of a node; copied only where it is little, because much is better read in place each time."""
        sql = f"select * from {self.stored[node]}{_where(demand)}"
        if demand:
            ((count,),) = self.connection.execute(f"select count(*) from ({sql})").fetchall()
            return self._create(sql, is_much=count > MUCH)
        return self._create(sql, is_much=True)

    def prepare(self, demand: Demand, probes: Iterable[Probe]) -> None:
        """Make what several probes will trace in other models once for all of them."""
        asked: dict[str, set[str]] = {}
        waiting = [(probe.node, probe.trace) for probe in probes]
        while waiting:
            node, trace = waiting.pop()
            for model, columns in self._tracer.of_models(node, trace).items():
                if not columns <= asked.setdefault(model, set()):
                    asked[model] |= columns
                    waiting.append((model, frozenset(asked[model])))
        order = list(self.selects.nodes)  # as they were compiled: what a model reads stands before it
        for model in sorted(asked, key=order.index):
            if self._people.personal_column(model) == PERSON_ID:
                self.table(model, demand, frozenset(asked[model]))

    def _create(self, sql: str, *, is_much: bool = False) -> str:
        """A table; of much only a view, so that the engine reads no more of it than who asks for it needs."""
        self._count += 1
        name = f"{self._prefix}{self._count}"
        self.connection.execute(f"create temp {'view' if is_much else 'table'} {name} as {sql}")
        if is_much:
            self._much.add(name)
        return name

    def _witnessed(self, node: str, alias: str, source: str, part: Demand) -> Demand:
        """The rows that a demand's values came from, where any row with a value will do: in a list of distinct values."""
        if len(part) != 1 or node in self.selects.branches:
            return part
        ((column, allowed),) = part
        witness = self._witnesses.get((source, column, allowed))
        tree = self.selects.nodes[node]
        if witness is None or not tree.args.get("distinct") or any(own(tree, exp.Window, exp.AggFunc)):
            return part
        used = {
            found[1]
            for one in own(tree, exp.Column)
            if isinstance(one, exp.Column) and (found := self.selects.resolve(node, one)) and found[0].alias == alias
        }
        return witness if used == {column} else part


def _literal(value: object) -> str:
    if isinstance(value, bool | int | float):
        return str(value)
    text = str(value).replace("'", "''")
    return f"'{text}'"


def _where(demand: Demand) -> str:
    parts = [
        f'"{column}" in ({", ".join(map(_literal, sorted(allowed, key=str)))})' if allowed else "false"
        for column, allowed in sorted(demand, key=lambda part: part[0])
        if column != PERSON
    ]
    return f" where {' and '.join(parts)}" if parts else ""
