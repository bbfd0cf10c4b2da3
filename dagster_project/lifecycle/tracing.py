"""Which landed rows are behind a value: a select rewritten so that each traced column brings them along.

Beside a traced column stands another, a list with one JSON text per row of the source contract (`stg_…`) that the value
was made of: through an aggregate the rows it took in (`filter` and all), for the smallest and largest the one row that was
it, through an expression those of every column it reads. What does not come from landed rows has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import sqlglot
from sqlglot import exp

from dagster_project.lifecycle.selects import STAGING, Selects, Source, model_of
from dagster_project.lifecycle.sql_parts import conjuncts, is_aggregate, named, own

CANDIDATES = "int_candidates_unioned"  # what is decided on: its own evidence is that of its trigger's conditions
ROW = "*"  # asked for instead of a column: the row as such
NOTHING_TRACED: frozenset[str] = frozenset()
_NONE = "cast([] as varchar[])"
# Names, addresses and free text of people are no evidence, and an explanation is pasted into tickets.
_WITHHELD = frozenset({"email", "address", "first_name", "last_name", "name", "subject", "properties"})


def traced_name(column: str) -> str:
    """The column that holds the rows behind another."""
    return f"rows behind {column}"


class Tracer:
    """Rewrites the selects of one graph."""

    def __init__(self, selects: Selects) -> None:
        self._selects = selects
        self.reaches_base = cache(self._reaches_base)
        self._needs = cache(lambda node, trace: self.traced(node, trace)[1])

    @staticmethod
    def is_base(node: str) -> bool:
        """A relation of the source contract or of the ledger: its rows are what was received."""
        return node.startswith(STAGING)

    def _reaches_base(self, node: str) -> bool:
        """Does anything of this node come from landed rows?"""
        node = self._selects.same(node)
        if self.is_base(node):
            return True
        if node == self._selects.same(CANDIDATES):
            return False
        if node not in self._selects.nodes:
            return False
        if node in self._selects.branches:
            is_plain = not any(
                part.args.get("distinct") for part in own(self._selects.nodes[node], exp.SetOperation)
            )  # which of two equal rows stayed can't be told
            return is_plain and any(map(self.reaches_base, self._selects.branches[node]))
        return any(source.node and self.reaches_base(source.node) for source in self._selects.sources(node))

    def base(self, node: str, table: str, trace: Iterable[str]) -> str:
        """The SQL of a landed relation in which each row is its own evidence."""
        shown = [column for column in self._selects.columns(node) if column not in _WITHHELD]
        fields = ", ".join(f"'{column}': landed.\"{column}\"" for column in shown)
        relation = model_of(node)
        row = f"[cast(json_object('relation', '{relation}', 'row', to_json({{{fields}}})) as varchar)]"
        behind = ", ".join(f'{row} as "{traced_name(column)}"' for column in sorted(trace))
        return f"select landed.*, {behind} from {table} as landed"

    def whole(self, node: str, table: str, trace: Iterable[str]) -> str:
        """The SQL of a relation that was made of everybody's rows: these are too many to tell, and no person's own."""
        row = f"""['{{"relation": "{model_of(node)}", "row": null}}']"""
        behind = ", ".join(f'{row} as "{traced_name(column)}"' for column in sorted(trace))
        return f"select made.*, {behind} from {table} as made"

    def of_models(self, node: str, trace: Iterable[str]) -> dict[str, set[str]]:
        """What tracing these columns will ask of other models than the node's own, by model."""
        asked: dict[str, set[str]] = {}
        needs = self._needs(node, frozenset(trace))
        sources = {source.alias: source.node for source in self._selects.sources(node)}
        for alias, columns in needs.items():
            source = self._selects.same(sources.get(alias) or alias)
            if not columns or self.is_base(source):
                continue
            if model_of(source) == model_of(node):
                for model, more in self.of_models(source, columns).items():
                    asked.setdefault(model, set()).update(more)
            else:
                asked.setdefault(source, set()).update(columns)
        return asked

    def traced(self, node: str, trace: Iterable[str]) -> tuple[exp.Query, dict[str, frozenset[str]]]:
        """A copy of a node's select with the rows behind these columns, and what it asks of each source for it, by alias."""
        tree = self._selects.nodes[node].copy()
        trace = sorted(trace)
        if node in self._selects.branches:
            return tree, self._trace_branches(node, tree, trace)
        needs: dict[str, set[str]] = {}
        columns = list(self._selects.projections(node))
        made = dict(columns)
        is_distinct = bool(tree.args.get("distinct"))
        is_many = is_distinct or self._selects.is_grouped(node)
        behind = []
        for column in trace:
            sql = self._behind(node, made.get(column), needs, is_many=is_many)
            behind.append(named(self._parsed(sql), traced_name(column)))
        tree.set("expressions", [named(one.copy(), name) for name, one in columns] + behind)
        if is_distinct:
            tree.set("distinct", None)
            tree.set("group", exp.Group(expressions=[exp.Literal.number(n + 1) for n in range(len(columns))]))
        return tree, {alias: frozenset(asked) for alias, asked in needs.items()}

    def _trace_branches(self, node: str, tree: exp.Query, trace: list[str]) -> dict[str, frozenset[str]]:
        position = {column: number for number, column in enumerate(self._selects.columns(node))}
        needs = {}
        for table in tree.find_all(exp.Table):
            branch = table.name
            columns = self._selects.columns(self._selects.same(branch))
            asked = [ROW if column == ROW else columns[position[column]] for column in trace]
            is_traced = self.reaches_base(branch)
            behind = [
                f'"{traced_name(one)}" as "{traced_name(column)}"'
                if is_traced
                else f'{_NONE} as "{traced_name(column)}"'
                for column, one in zip(trace, asked, strict=True)
            ]
            select = table.find_ancestor(exp.Select)
            if select is not None:
                plain = [f'"{column}"' for column in columns]
                select.set("expressions", [self._parsed(sql) for sql in plain + behind])
            needs[branch] = frozenset(asked) if is_traced else NOTHING_TRACED
        return needs

    def _behind(self, node: str, made: exp.Expr | None, needs: dict[str, set[str]], *, is_many: bool) -> str:
        if made is None:
            first, *joined = self._selects.sources(node)
            landed = [source for source in joined if source.node and self.is_base(source.node)]
            rows = self._of_rows([first, *landed], needs)
            return _flat(rows) if is_many else rows
        calls = [one for one in own(made) if is_aggregate(one) and not isinstance(one.parent, exp.Window)]
        if not is_many or not calls:
            rows = self._of_columns(node, own(made, exp.Column), needs)
            return _flat(rows) if is_many and rows != _NONE else rows
        return _together([self._behind_call(node, call, needs) for call in calls])

    def _behind_call(self, node: str, call: exp.Expr, needs: dict[str, set[str]]) -> str:
        filter_ = call.parent.expression.this if isinstance(call.parent, exp.Filter) else None
        where = [self._sql(filter_)] if filter_ is not None else []
        order = call.this
        if isinstance(call, (exp.ArgMax, exp.ArgMin)):
            order, taken = call.expression, call.this
        elif isinstance(call, (exp.Min, exp.Max)):
            taken = call.this
        else:
            arguments = list(own(call, exp.Column))
            if isinstance(call, exp.LogicalOr):
                where.append(self._sql(call.this))
            elif isinstance(call, exp.Count) and arguments:
                where.append(f"{self._sql(arguments[0])} is not null")
            elif not arguments:  # count(*) of what a flag holds true for: the rows that made the flag true
                arguments = [part for part in conjuncts(filter_) if isinstance(part, exp.Column)]
            if arguments:
                return _flat(self._of_columns(node, arguments, needs), where)
            return _flat(self._of_rows(self._counted(node, filter_), needs), where)
        rows = self._of_columns(node, own(taken, exp.Column), needs)
        if rows == _NONE:
            return _NONE
        pick = "arg_min" if isinstance(call, (exp.ArgMin, exp.Min)) else "arg_max"
        suffix = f" filter (where {' and '.join(where)})" if where else ""
        return f"coalesce({pick}({rows}, {self._sql(order)}){suffix}, {_NONE})"

    def _counted(self, node: str, filter_: exp.Expr | None) -> list[Source]:
        """Whose rows `count(*)` counts: those its filter looks at; else those joined to the one that a group is about."""
        sources = list(self._selects.sources(node))
        if filter_ is not None:
            read = [self._selects.resolve(node, one) for one in own(filter_, exp.Column) if isinstance(one, exp.Column)]
            aliases = {found[0].alias for found in read if found}
            if found := [source for source in sources if source.alias in aliases and self._is_traced(source)]:
                return found
        for key in self._selects.group_keys(node):
            resolved = self._selects.resolve(node, key) if isinstance(key, exp.Column) else None
            # the first column of a relation is its key: a group by it is about one of its rows
            if resolved and len(sources) > 1 and resolved[0].columns[:1] == (resolved[1],):
                return [source for source in sources if source.alias != resolved[0].alias]
        return sources[:1]

    def _is_traced(self, source: Source) -> bool:
        return source.node is not None and self.reaches_base(source.node)

    def _of_columns(self, node: str, columns: Iterable[exp.Expr], needs: dict[str, set[str]]) -> str:
        found: dict[tuple[str, str], None] = {}
        for column in columns:
            resolved = self._selects.resolve(node, column) if isinstance(column, exp.Column) else None
            if resolved and self._is_traced(resolved[0]):
                is_key = resolved[0].columns[:1] == (resolved[1],)  # there because its row is
                asked = ROW if is_key else resolved[1]
                needs.setdefault(resolved[0].alias, set()).add(asked)
                found[resolved[0].alias, asked] = None
        return _together([f'coalesce("{alias}"."{traced_name(column)}", {_NONE})' for alias, column in found])

    def _of_rows(self, sources: Iterable[Source], needs: dict[str, set[str]]) -> str:
        aliases = [source.alias for source in sources if self._is_traced(source)]
        for alias in aliases:
            needs.setdefault(alias, set()).add(ROW)
        return _together([f'coalesce("{alias}"."{traced_name(ROW)}", {_NONE})' for alias in aliases])

    def _sql(self, expression: exp.Expr) -> str:
        return expression.sql(dialect=self._selects.dialect)

    def _parsed(self, sql: str) -> exp.Expr:
        """Made of columns alone it stands as it is: to take nine hundred such texts apart was a fifteenth of an explanation."""
        return sqlglot.parse_one(sql, dialect=self._selects.dialect) if "select" in sql.lower() else exp.Var(this=sql)


def _together(lists: list[str]) -> str:
    """One list of several."""
    return " || ".join(lists) if lists else _NONE


def _flat(rows: str, where: list[str] | None = None) -> str:
    """One list of those of many rows."""
    if rows == _NONE:
        return _NONE
    suffix = f" filter (where {' and '.join(f'({part})' for part in where)})" if where else ""
    return f"coalesce(flatten(list({rows}){suffix}), {_NONE})"
