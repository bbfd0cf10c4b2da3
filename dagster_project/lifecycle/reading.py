"""What an expression of a model read for one row: its parts with their values, and the rows behind them.

A probe is a node's own select with more columns: each column and aggregate that an expression reads, each comparison in it,
and for a comparison with the time asked for the moment at which it turns. So the numbers come from the model's own SQL.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlglot import exp

from dagster_project.lifecycle.selects import Selects, Source, model_of
from dagster_project.lifecycle.sql_parts import is_aggregate, named, own
from dagster_project.lifecycle.tracing import traced_name

MOST_ROWS = 5  # of those behind a value that are shown, newest first
_NARROW = 12  # columns: a flag's row is shown whole when it has no more, since the flag was made of the others
_LONG = 90  # characters of a computed value's own SQL
BUCKET = "bucket"
_DIVISOR = "4294967296"  # of hash_bucket: its SQL is long and says nothing to a reader
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_QUOTED = re.compile(r"('(?:[^']|'')*'|\"[^\"]*\")")
_NOT_NULL = re.compile(r"\bNOT (\w+) IS NULL")
_TIMES = ("_at", "_as_of")


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One comparison of an expression; `turns` is the probe's column with the moment at which time alone changes it."""

    sql: str
    column: str
    turns: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A condition, or one `when` of a case with its result."""

    sql: str
    checks: tuple[Check, ...]
    reads: tuple[tuple[str, str], ...]  # (name, the probe's column)
    column: str
    result: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """How one column of a probed node is explained."""

    sql: str
    reads: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """A node with more columns, and what these mean for each column explained."""

    node: str
    readings: Mapping[str, Reading]
    trace: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Contest:
    """A window that puts rivals in order, as a node: its columns for the group, the place in it, and what it is ordered by."""

    node: str
    group: str
    position: str
    order: tuple[tuple[str, str], ...]  # (SQL, column)


class Prober:
    """Makes probes in one graph of selects, compiled as of one moment."""

    def __init__(self, selects: Selects, as_of: datetime) -> None:
        self._selects = selects
        self._as_of = as_of.isoformat(sep=" ")

    def origin(self, node: str, column: str) -> tuple[str, str] | None:
        """Where a column is computed: the node in which it is more than another node's column; None for what a union,
        or nothing that is known, has made."""
        node = self._selects.same(node)
        while node in self._selects.nodes and node not in self._selects.branches:
            made = self._selects.definition(node, column)
            if not isinstance(made, exp.Column):
                return (node, column) if made is not None else None
            found = self._selects.resolve(node, made)
            if found is None or found[0].node is None:
                return None
            node, column = found[0].node, found[1]
        return None

    def probe(self, node: str, *columns: str, is_rule: bool = False) -> Probe | None:
        """A probe of these columns; None where the node is no plain select, so that nothing can be added to it.

        For a rule the rows behind what it reads of the candidate itself are left out: the conditions have told them.
        """
        node = self._selects.same(node)
        tree = self._selects.nodes.get(node)
        if not isinstance(tree, exp.Select) or tree.args.get("distinct"):
            return None
        tree = tree.copy()
        added: dict[str, str] = {}

        def column_of(expression: exp.Expr) -> str:
            sql = expression.sql(dialect=self._selects.dialect, comments=False)
            if sql not in added:
                added[sql] = f"probe {len(added)}"
                tree.append("expressions", named(expression.copy(), added[sql]))
            return added[sql]

        def reads_of(expression: exp.Expr) -> tuple[tuple[str, str], ...]:
            reads = {}
            for name, read in self._reads(node, expression):
                reads.setdefault(name, column_of(read))
                if not is_rule or self._is_joined(node, read):
                    trace.add(reads[name])
            return tuple(reads.items())

        readings = {}
        trace: set[str] = set()
        for column in columns:
            made = self._selects.definition(node, column)
            if made is None:
                return None
            parts = tuple(
                Part(
                    self.text(condition),
                    tuple(
                        Check(self.text(atom), column_of(atom), column_of(turns) if turns is not None else None)
                        for atom in _atoms(condition)
                        for turns in [self._turns(atom)]
                    ),
                    reads_of(condition),
                    column_of(condition),
                    self.text(result) if result is not None else None,
                )
                for condition, result in _branches(made)
            )
            readings[column] = Reading(self.text(made), reads_of(made), parts)
        name = f"{node}?"
        while name in self._selects.nodes:
            name += "?"
        self._selects.nodes[name] = tree
        return Probe(name, readings, frozenset(trace))

    def contest(self, model: str, key: str) -> Contest | None:
        """The first window of a model that orders rows with this key within groups; None when it has none."""
        for node, tree in list(self._selects.nodes.items()):
            if model_of(node) != model or not isinstance(tree, exp.Select) or self._selects.is_grouped(node):
                continue
            if key not in dict(self._selects.projections(node)):
                continue
            for window in own(tree, exp.Window):
                order = window.args.get("order")
                group = window.args.get("partition_by")
                if order is None or not group:
                    continue
                return self._contest(node, tree.copy(), group, order)
        return None

    def _contest(self, node: str, tree: exp.Select, group: Sequence[exp.Expr], order: exp.Expr) -> Contest:
        place = exp.Window(this=exp.RowNumber(), partition_by=[one.copy() for one in group], order=order.copy())
        names = [(self.text(one.this), f"order {number}") for number, one in enumerate(order.expressions)]
        made = [named(one.this.copy(), name) for one, (_, name) in zip(order.expressions, names, strict=True)]
        made.append(named(exp.Tuple(expressions=[one.copy() for one in group]), "group"))
        made.append(named(place, "position"))
        for one in made:
            tree.append("expressions", one)
        name = f"{node}?contest"
        self._selects.nodes[name] = tree
        return Contest(name, "group", "position", tuple(names))

    def text(self, expression: exp.Expr) -> str:
        """SQL as its author would read it: `as_of` for the time, no prefixes, no `coalesce(…, false)` around it."""
        plain = expression.copy()
        while isinstance(plain, (exp.Paren, exp.Coalesce)) and _is_wrapped(plain):
            plain = plain.this
        plain = plain.transform(self._plain)
        sql = plain.sql(dialect=self._selects.dialect, comments=False, normalize_functions="lower")
        parts = _QUOTED.split(_NOT_NULL.sub(r"\1 IS NOT NULL", sql))
        return " ".join("".join(part if number % 2 else part.lower() for number, part in enumerate(parts)).split())

    def _plain(self, node: exp.Expr) -> exp.Expr:
        if self._is_as_of(node):
            return exp.column("as_of")
        if isinstance(node, exp.Div) and node.right.name.startswith(_DIVISOR):
            return exp.column(BUCKET)
        if isinstance(node, exp.Column) and node.table:
            return exp.column(node.name)
        if isinstance(node, exp.Interval):
            return exp.var(f"{node.this.name} {node.text('unit')}".strip())
        return node

    def _is_as_of(self, node: exp.Expr) -> bool:
        return isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and node.this.name == self._as_of

    def _reads(self, node: str, made: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
        """(name, expression) of what is read: aggregates and columns, what is computed to be compared, a flag's whole row."""
        inside: set[int] = set()  # parts that are told by what they are part of
        for comparison in own(made, *_COMPARISONS, exp.Between):
            if self._turns(comparison) is not None:
                continue  # the moment at which it turns says more
            for side in (comparison.this, comparison.args.get("expression")):
                if side is None or not self._is_computed(side):
                    continue
                name = self._named(node, side)
                yield name, side
                if name == BUCKET:
                    inside |= {id(part) for part in side.walk()}
        aggregates = [one for one in own(made) if is_aggregate(one)]
        inside |= {id(part) for one in aggregates for part in one.walk()}
        for one in aggregates:
            whole = one.parent if isinstance(one.parent, exp.Filter) else one
            yield self._named(node, whole), whole
        for column in own(made, exp.Column):
            if id(column) in inside or not isinstance(column, exp.Column):
                continue
            found = self._selects.resolve(node, column)
            if found is None:
                continue
            yield found[1], column
            yield from _row_of_flag(found[0], found[1])

    def _is_computed(self, side: exp.Expr | None) -> bool:
        if side is None or isinstance(side, (exp.Column, exp.Literal)) or is_aggregate(side):
            return False
        columns = list(own(side, exp.Column))
        is_default = isinstance(side, exp.Coalesce) and all(isinstance(one, exp.Literal) for one in side.expressions)
        return bool(columns) and not is_default and not any(map(is_aggregate, own(side)))

    def _is_joined(self, node: str, read: exp.Expr) -> bool:
        columns = [self._selects.resolve(node, one) for one in own(read, exp.Column) if isinstance(one, exp.Column)]
        return any(found is not None and found[0].join is not None for found in columns)

    def _named(self, node: str, expression: exp.Expr) -> str:
        """The name of a column that has this very expression, else its SQL."""
        for name, made in self._selects.projections(node):
            if made == expression:
                return name
        sql = self.text(expression)
        return sql if len(sql) <= _LONG else f"{sql[: _LONG - 1]}…"

    def _turns(self, atom: exp.Expr) -> exp.Expr | None:
        """When a comparison with the time asked for turns: `x > as_of - 30 days` does at x + 30 days."""
        if not isinstance(atom, (exp.GT, exp.GTE, exp.LT, exp.LTE)):
            return None
        for side, other in ((atom.left, atom.right), (atom.right, atom.left)):
            if any(self._is_as_of(part) for part in other.walk()) or not any(own(other, exp.Column)):
                continue
            if self._is_as_of(side):
                return other
            if isinstance(side, (exp.Sub, exp.Add)) and self._is_as_of(side.left):
                back = exp.Add if isinstance(side, exp.Sub) else exp.Sub
                return back(this=exp.paren(other.copy()), expression=side.right.copy())
        return None


def told(reading: Reading, row: Mapping[str, Any], as_of: datetime) -> dict[str, Any]:
    """What a reading says of one row of its probe: JSON-able but for times."""
    decided = next((part for part in reading.parts if part.result is not None and row[part.column]), None)
    shown = [decided] if decided else [part for part in reading.parts if part.result is None]
    return {
        "sql": decided.sql if decided else reading.sql,
        "checks": [
            {
                "sql": check.sql,
                "value": None if row[check.column] is None else bool(row[check.column]),
                "turns_at": row[check.turns] if check.turns else None,
            }
            for part in shown
            for check in part.checks
        ],
        "reads": [
            {"name": name, "value": row[column], **evidence(row.get(traced_name(column)) or [], as_of)}
            for name, column in (decided.reads if decided else reading.reads)
        ],
    }


def evidence(behind: Sequence[str], as_of: datetime) -> dict[str, Any]:
    """`rows` behind a value, newest first, at most five; `row_count`, how many there are; and in `from_everybody` the models
    that were made of everybody's rows, which are not listed."""
    moment = as_of.isoformat(sep=" ")

    def newest(row: Mapping[str, Any]) -> tuple[str, str]:
        times = [str(value) for name, value in row["row"].items() if name.endswith(_TIMES) and value is not None]
        return max((time for time in times if time <= moment), default=""), json.dumps(row)

    found = [json.loads(text) for text in set(behind)]
    rows = sorted((row for row in found if row["row"] is not None), key=newest, reverse=True)
    everybody = sorted({row["relation"] for row in found if row["row"] is None})
    return {"rows": rows[:MOST_ROWS], "row_count": len(rows), "from_everybody": everybody}


def _is_wrapped(node: exp.Expr) -> bool:
    return isinstance(node, exp.Paren) or [type(one) for one in node.expressions] == [exp.Boolean]


def _branches(made: exp.Expr) -> list[tuple[exp.Expr, exp.Expr | None]]:
    """(condition, result) of each `when`; a plain expression is its own condition."""
    if isinstance(made, exp.Case) and made.this is None:
        return [(branch.this, branch.args["true"]) for branch in made.args["ifs"]]
    return [(made, None)]


def _atoms(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The comparisons that `and`, `or` and `coalesce(…, false)` hold together."""
    while isinstance(condition, (exp.Paren, exp.Coalesce)) and _is_wrapped(condition):
        condition = condition.this
    if isinstance(condition, (exp.And, exp.Or)):
        for part in condition.flatten():
            yield from _atoms(part)
    else:
        yield condition


def _row_of_flag(source: Source, column: str) -> Iterator[tuple[str, exp.Expr]]:
    if column.startswith(("is_", "has_")) and source.join is not None and len(source.columns) <= _NARROW:
        for sibling in source.columns:
            yield sibling, exp.column(sibling, source.alias, quoted=True)
