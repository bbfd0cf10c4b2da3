"""What of each select's sources a few of its rows need.

A demand on a node says which values some of its columns may have; `push` turns it into demands on the node's sources, where the form of
the SQL proves that nothing else can matter: through plain columns, group keys, partitions of windows and equi-joins. What it can't prove it
doesn't push, and that source is then read whole: rules that need everybody get everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sqlglot import exp

from dagster_project.lifecycle.people import PERSON_ID, People
from dagster_project.lifecycle.selects import Selects
from dagster_project.lifecycle.sql_parts import conjuncts, own

PERSON = "@person"  # a demand for the rows of these people, whatever column tells whose they are

Demand = frozenset[tuple[str, frozenset[object]]]
"""(column, allowed values), all of which must hold; empty for the whole relation."""
Values = Callable[[str, Demand, str], frozenset[object] | None]
"""The values of a node's column in the rows that meet a demand, None among them; None alone when they are too many."""
EVERYTHING: Demand = frozenset()


class _Part(NamedTuple):
    """Part of a demand, on a source."""

    alias: str
    column: str
    allowed: frozenset[object]


class _Link(NamedTuple):
    """Rows of `there` are needed only where its column `other` has a value that `column` has in `here`."""

    here: str
    column: str
    there: str
    other: str


class Cutter:
    """Pushes demands down one graph of selects."""

    def __init__(self, selects: Selects, people: People) -> None:
        self._selects = selects
        self._people = people

    def push(self, name: str, demand: Demand, values: Values) -> dict[str, Demand]:
        """The demand on each source, by alias (by branch for a union), that `demand` leaves; sources not named are read whole."""
        if name in self._selects.branches:
            return self._push_branches(name, demand)
        if not isinstance(self._selects.nodes[name], exp.Select) or not _may_be_cut(self._selects.nodes[name]):
            return {}
        wanted = self._start(name, demand)
        is_cut_by = [part for part in wanted if self._splits(name, part)]
        if not is_cut_by and wanted:
            widened = self._widened(name, wanted, values)
            is_cut_by = [widened] if widened else []
        pushed: dict[str, dict[str, frozenset[object]]] = {}
        for alias, column, allowed in is_cut_by:
            pushed.setdefault(alias, {})[column] = allowed
        if demand and not pushed:
            return {}
        self._add_constants(name, pushed)
        if demand:
            self._spread(name, pushed, values)
        return {alias: frozenset(parts.items()) for alias, parts in pushed.items()}

    def _push_branches(self, name: str, demand: Demand) -> dict[str, Demand]:
        position = {column: number for number, column in enumerate(self._selects.columns(name))}
        pushed = {}
        for branch in self._selects.branches[name]:
            columns = self._selects.columns(self._selects.same(branch))
            pushed[branch] = frozenset(
                (column if column == PERSON else columns[position[column]], allowed) for column, allowed in demand
            )
        return pushed

    def _start(self, name: str, demand: Demand) -> list[_Part]:
        """(alias, column, values) for each part of the demand whose column is one of a source's."""
        found = []
        for column, allowed in sorted(demand, key=lambda part: part[0]):
            asked = column if column != PERSON else self._people.personal_column(name)
            made = self._selects.definition(name, asked) if asked else None
            if made is None:
                continue
            if column == PERSON:
                tells = (
                    part for part in own(made) if isinstance(part, exp.Column) and self._people.tells_person(name, part)
                )
                made = next(tells, made)
            resolved = self._selects.resolve(name, made) if isinstance(made, exp.Column) else None
            if resolved and resolved[0].node:
                source, inner = resolved
                found.append(_Part(source.alias, PERSON if column == PERSON else inner, allowed))
        return found

    def _splits(self, name: str, part: _Part) -> bool:
        """Does every group and every window stay within one value of this column?"""
        keyed: list[list[exp.Expr]] = [
            list(window.args.get("partition_by") or ()) for window in own(self._selects.nodes[name], exp.Window)
        ]
        if self._selects.is_grouped(name):
            keyed.append(self._selects.group_keys(name))
        return all(any(self._is_that(name, key, part) for key in keys) for keys in keyed)

    def _is_that(self, name: str, key: exp.Expr, part: _Part) -> bool:
        if part.column == PERSON or self._is_person_id(name, part.alias, part.column):
            return self._people.tells_person(name, key)
        resolved = self._selects.resolve(name, key) if isinstance(key, exp.Column) else None
        return resolved is not None and (resolved[0].alias, resolved[1]) == (part.alias, part.column)

    def _is_person_id(self, name: str, alias: str, column: str) -> bool:
        node = next(source.node for source in self._selects.sources(name) if source.alias == alias)
        return column == PERSON_ID and node is not None and self._people.is_personal(node, column)

    def _widened(self, name: str, wanted: Sequence[_Part], values: Values) -> _Part | None:
        """Instead of the wanted rows, all rows of the partitions that they are in: where a window looks at others."""
        sources = self._selects.sources(name)
        if len(sources) != 1 or self._selects.is_grouped(name):
            return None
        windows = list(own(self._selects.nodes[name], exp.Window))
        (source,) = sources
        for key in windows[0].args.get("partition_by") or ():
            resolved = self._selects.resolve(name, key) if isinstance(key, exp.Column) else None
            if (
                source.node is None
                or resolved is None
                or not self._splits(name, _Part(source.alias, resolved[1], frozenset()))
            ):
                continue
            inner = frozenset((part.column, part.allowed) for part in wanted)
            allowed = values(source.node, inner, resolved[1])
            if allowed is not None and None not in allowed:  # those without a value are a partition as well
                return _Part(source.alias, resolved[1], allowed)
        return None

    def _add_constants(self, name: str, pushed: dict[str, dict[str, frozenset[object]]]) -> None:
        """What `where` itself asks of a column by constants narrows its source as well."""
        where = self._selects.nodes[name].args.get("where")
        for part in conjuncts(where.this if where else None):
            column = part.this
            given = (
                [part.expression] if isinstance(part, exp.EQ) else part.expressions if isinstance(part, exp.In) else []
            )
            resolved = self._selects.resolve(name, column) if isinstance(column, exp.Column) else None
            if (
                resolved is None
                or resolved[0].node is None
                or not self._people.is_about_people(resolved[0].node)
                or not given
            ):
                continue
            if not all(isinstance(one, exp.Literal) and one.is_string for one in given):
                continue
            alias, inner = resolved[0].alias, resolved[1]
            if PERSON not in pushed.get(alias, {}) and inner not in pushed.get(alias, {}):
                pushed.setdefault(alias, {})[inner] = frozenset(one.name for one in given)

    def _spread(self, name: str, pushed: dict[str, dict[str, frozenset[object]]], values: Values) -> None:
        """From the sources that are cut to those joined with them: only what can join is needed."""
        sources = {source.alias: source for source in self._selects.sources(name)}
        asked = set(pushed)
        links = list(self._links(name, asked))
        spread: set[_Link] = set()
        while True:
            ready = [link for link in links if link.here in pushed and link not in spread and link.there not in asked]
            if not ready:
                return
            here, column, there, other = ready[0]
            spread.add(ready[0])
            here_node, there_node = sources[here].node, sources[there].node
            if here_node is None or there_node is None:
                continue
            parts = pushed[here]
            people = parts.get(PERSON) or (parts.get(PERSON_ID) if self._is_person_id(name, here, PERSON_ID) else None)
            beyond = pushed.get(there, {})
            if PERSON in beyond or column == PERSON:
                continue
            if (
                people is not None
                and self._people.is_personal(here_node, column)
                and self._people.is_personal(there_node, other)
            ):
                pushed[there] = {PERSON: people}
                continue
            allowed = parts.get(column) or values(here_node, frozenset(parts.items()), column)
            if allowed is not None:
                allowed -= {None}  # nothing equals it
                pushed.setdefault(there, {})[other] = allowed & beyond.get(other, allowed)

    def _links(self, name: str, asked: set[str]) -> Iterator[_Link]:
        """From the equalities of `where` and `on`, in either direction.

        Through a left join only towards its right side, but for a right side that the demand itself asks for: the rows
        without a match are then not wanted.
        """
        select = self._selects.nodes[name]
        clauses: list[tuple[str | None, exp.Expr | None]] = [(None, select.args.get("where"))]
        for source in self._selects.sources(name):
            if source.join is not None:
                is_left = (source.join.side or "").upper() == "LEFT"
                clauses.append((source.alias if is_left else None, source.join.args.get("on")))
        for optional, clause in clauses:
            condition = clause.this if isinstance(clause, exp.Where) else clause
            for part in conjuncts(condition):
                if not (isinstance(part, exp.EQ) and isinstance(part.left, exp.Column)):
                    continue
                if not isinstance(part.right, exp.Column):
                    continue
                left, right = self._selects.resolve(name, part.left), self._selects.resolve(name, part.right)
                if left is None or right is None or left[0].alias == right[0].alias:
                    continue
                for one, two in ((left, right), (right, left)):
                    is_outwards = optional is None or two[0].alias == optional
                    if is_outwards or (one[0].alias == optional and optional in asked):
                        yield _Link(one[0].alias, one[1], two[0].alias, two[1])


def _may_be_cut(select: exp.Query) -> bool:
    """No clause whose rows depend on how many others there are, and no join that keeps rows of its right side."""
    if any(select.args.get(word) for word in ("limit", "offset", "sample", "pivots", "laterals")):
        return False
    distinct = select.args.get("distinct")
    if distinct is not None and distinct.args.get("on"):
        return False
    return all(
        (join.side or "").upper() in ("", "LEFT")
        and (join.kind or "").upper() in ("", "INNER", "OUTER", "CROSS")
        and not join.method
        and not join.args.get("using")
        for join in select.args.get("joins", ())
    )
