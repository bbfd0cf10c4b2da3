"""The models' SQL as a graph of selects: which relations each reads, and where each of its columns comes from.

Every CTE and every branch of a union is a node of its own: `model`, `model/cte`, `model#1`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.sql_parts import is_aggregate, own

STAGING = "stg_"  # views, in dbt as well


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One relation in a select's `from`; the node is None for a table function."""

    alias: str
    node: str | None
    columns: tuple[str, ...]
    join: exp.Join | None


class Selects:
    """The nodes of these compiled models. Relations without SQL here are leaves, whose columns must be given."""

    def __init__(self, compiled: Mapping[str, str], leaves: Mapping[str, Sequence[str]], dialect: str) -> None:
        self.dialect = dialect
        self.nodes: dict[str, exp.Query] = {}
        self.branches: dict[str, list[str]] = {}
        self._same: dict[str, str] = {}  # select * from one relation is that relation
        self._leaves = leaves
        self.columns = cache(self._columns)
        self.sources = cache(self._sources)
        for model, sql in compiled.items():
            try:
                tree = sqlglot.parse_one(sql, dialect=dialect)
            except SqlglotError as error:
                raise InputError(f"{model}: not SQL: {' '.join(str(error).split())[:200]}") from error
            if isinstance(tree, exp.Query):
                for part in tree.walk():
                    part._meta = part.comments = None  # noqa: SLF001 - where each part stood; half of the time of a copy
                self._add(model, tree, {})
        self.models = frozenset(self.same(model) for model in compiled if not model.startswith(STAGING))

    def _add(self, name: str, query: exp.Query, scope: Mapping[str, str]) -> None:
        scope = dict(scope)
        model = model_of(name)
        with_ = query.args.get("with_")
        if with_ is not None:
            query.set("with_", None)
            for cte in with_.expressions:
                inner = self._unused(f"{model}/{cte.alias}")
                self._add(inner, cte.this, scope)
                scope[cte.alias] = inner
        if isinstance(query, exp.Subquery):
            inner_query = query.unnest()
            if isinstance(inner_query, exp.Query):
                query = inner_query
        if isinstance(query, exp.SetOperation) and any(query.find_all(exp.Table)):
            self._add_branches(name, query, scope)
            return
        for item in [query.args.get("from_"), *query.args.get("joins", ())]:
            if item is not None and isinstance(item.this, exp.Subquery) and item.this.alias:
                item.set("this", self._add_derived(model, item.this, scope))
        for table in query.find_all(exp.Table):
            self._name_table(table, scope)
        self.nodes[name] = query
        if (target := _whole_relation(query)) is not None:
            self._same[name] = target

    def _add_derived(self, model: str, derived: exp.Subquery, scope: Mapping[str, str]) -> exp.Table:
        """A query in `from` is a CTE that has no name of its own yet."""
        inner = self._unused(f"{model}/{derived.alias}")
        query = derived.unnest()
        if isinstance(query, exp.Query):
            self._add(inner, query, scope)
        return exp.Table(
            this=exp.to_identifier(inner, quoted=True), alias=exp.TableAlias(this=exp.to_identifier(derived.alias))
        )

    def _unused(self, name: str) -> str:
        while name in self.nodes or name in self._same:  # a query within a query may have the name of another
            name += "'"
        return name

    def _add_branches(self, name: str, query: exp.SetOperation, scope: Mapping[str, str]) -> None:
        parts: list[exp.Expr] = []
        left: exp.Expr = query
        while isinstance(left, exp.SetOperation) and left.args.get("with_") is None:
            parts.insert(0, left.expression)
            left = left.this
        parts.insert(0, left)
        self.branches[name] = []
        for number, part in enumerate(parts, 1):
            branch = f"{name}#{number}"
            whole = sqlglot.parse_one(f'select * from "{branch}"', dialect=self.dialect)
            part.replace(whole)
            self._add(branch, part, scope)  # pyright: ignore[reportArgumentType]
            self.branches[name].append(branch)
        self.nodes[name] = query

    @staticmethod
    def _name_table(table: exp.Table, scope: Mapping[str, str]) -> None:
        """Name the node that a table reads; a function in `from` keeps its own name."""
        if not isinstance(table.this, exp.Identifier):
            return
        alias, schema = table.alias_or_name, table.db
        node = (
            scope[table.name]
            if not schema and table.name in scope
            else f"{schema}.{table.name}"
            if schema and schema != "main"
            else table.name
        )
        table.set("this", exp.to_identifier(node, quoted=True))
        table.set("db", None)
        table.set("catalog", None)
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))

    def same(self, name: str) -> str:
        """The node that this one is nothing but another name of; else itself. Of a landed relation staging's name counts."""
        while name in self._same and name.startswith(STAGING) <= self._same[name].startswith(STAGING):
            name = self._same[name]
        return name

    def _sources(self, name: str) -> tuple[Source, ...]:
        """What a select reads, in the order of its `from`."""
        select = self.nodes[name]
        from_ = select.args.get("from_")
        found = []
        for join in [from_, *select.args.get("joins", ())]:
            if join is None:
                continue
            table = join.this
            if isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier):
                node = self.same(table.name)
                columns = self.columns(node)
            else:
                node, columns = None, tuple(column.name for column in table.args.get("alias", exp.TableAlias()).columns)
            found.append(Source(table.alias_or_name, node, columns, join if isinstance(join, exp.Join) else None))
        return tuple(found)

    def _columns(self, name: str) -> tuple[str, ...]:
        """The names of a node's columns, in order; nothing for a relation that nobody knows."""
        if name not in self.nodes:
            return tuple(self._leaves.get(name, ()))
        if name in self.branches:
            return self.columns(self.same(self.branches[name][0]))
        if not isinstance(self.nodes[name], exp.Select):  # a union of constants
            return tuple(self.nodes[name].named_selects)
        return tuple(column for column, _ in self.projections(name))

    def projections(self, name: str) -> Iterator[tuple[str, exp.Expr]]:
        """Each column of a select with its expression, stars spelled out."""
        for projection in self.nodes[name].expressions:
            star = projection if isinstance(projection, exp.Star) else projection.find(exp.Star)
            is_star = isinstance(projection, exp.Star) or (isinstance(projection, exp.Column) and projection.is_star)
            if not is_star:
                yield projection.alias_or_name, projection.unalias()
                continue
            left_out = {part.name for part in star.args.get("except_") or ()} if star else set()
            replaced = {part.alias: part.this for part in star.args.get("replace") or ()} if star else {}
            for source in self.sources(name):
                if isinstance(projection, exp.Column) and projection.table != source.alias:
                    continue
                for column in source.columns:
                    if column not in left_out:
                        yield column, replaced.get(column) or _column(column, source.alias)

    def definition(self, name: str, column: str) -> exp.Expr | None:
        """The expression that a select gives this column; None where there is no such column, or no select."""
        if not isinstance(self.nodes[name], exp.Select):
            return None
        return next((made for found, made in self.projections(name) if found == column), None)

    def resolve(self, name: str, column: exp.Column) -> tuple[Source, str] | None:
        """The source that a column of a select comes from; None where it can't be told."""
        found = [
            source
            for source in self.sources(name)
            if (source.alias == column.table if column.table else column.name in source.columns)
        ]
        return (found[0], column.name) if len(found) == 1 else None

    def is_grouped(self, name: str) -> bool:
        """Does a select make one row of many?"""
        select = self.nodes[name]
        return bool(select.args.get("group")) or any(
            is_aggregate(node) and not isinstance(node.parent, exp.Window) for node in own(select)
        )

    def group_keys(self, name: str) -> list[exp.Expr]:
        """The expressions of `group by`, positions and names spelled out."""
        group = self.nodes[name].args.get("group")
        if group is None:
            return []
        projections = list(self.projections(name))
        if group.args.get("all"):
            return [made for _, made in projections if not any(map(is_aggregate, own(made)))]
        named = dict(projections)
        keys = []
        for key in group.expressions:
            if isinstance(key, exp.Literal) and key.is_int:
                keys.append(projections[int(key.name) - 1][1])
            elif isinstance(key, exp.Column) and self.resolve(name, key) is None and key.name in named:
                keys.append(named[key.name])
            else:
                keys.append(key)
        return keys


def model_of(node: str) -> str:
    """The model that a node is a part of."""
    return node.partition("/")[0].partition("#")[0].partition("?")[0]


def _column(name: str, table: str) -> exp.Column:
    return exp.Column(this=exp.Identifier(this=name, quoted=True), table=exp.Identifier(this=table, quoted=True))


def _whole_relation(query: exp.Query) -> str | None:
    """The relation that `select * from relation` and nothing more names."""
    if not isinstance(query, exp.Select) or [type(part) for part in query.expressions] != [exp.Star]:
        return None
    star = query.expressions[0]
    if any(star.args.get(word) for word in ("except_", "replace", "rename")):
        return None
    clauses = {name for name, value in query.args.items() if value} - {"expressions", "from_", "kind"}
    from_ = query.args.get("from_")
    if clauses or from_ is None or not isinstance(from_.this, exp.Table):
        return None
    return from_.this.name if isinstance(from_.this.this, exp.Identifier) else None
