"""The models' SQL as a graph of selects, and what of each select's sources a few of its rows need.

Every CTE and every branch of a union is a node of its own: `model`, `model/cte`, `model#1`. A demand on a node says
which values some of its columns may have; `push` turns it into demands on the node's sources, where the form of the SQL
proves that nothing else can matter: through plain columns, group keys, partitions of windows and equi-joins. What it
can't prove it doesn't push, and that source is then read whole: rules that need everybody get everybody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dagster_project.lifecycle.errors import InputError

STAGING = "stg_"  # views, in dbt as well
PERSON_ID = "user_id"  # the source contract's name, in every relation
PERSON = "@person"  # a demand for the rows of these people, whatever column tells whose they are
_AGGREGATES = frozenset({"list", "string_agg", "histogram", "mode", "any_value", "first", "last"})

Demand = frozenset[tuple[str, frozenset[object]]]
"""(column, allowed values), all of which must hold; empty for the whole relation."""
Values = Callable[[str, Demand, str], frozenset[object] | None]
"""The values of a node's column in the rows that meet a demand, None among them; None alone when they are too many."""
EVERYTHING: Demand = frozenset()


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
        self.is_personal = cache(self._is_personal)
        self.is_about_people = cache(self._is_about_people)
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

    def _is_about_people(self, name: str) -> bool:
        """Is anything of this node made of rows about people or their accounts? What isn't is small, and the same for all."""
        name = self.same(name)
        if name not in self.nodes:
            return not {PERSON_ID, "account_id"}.isdisjoint(self.columns(name))
        return any(self.is_about_people(table.name) for table in self.tables(self.nodes[name]))

    @staticmethod
    def tables(tree: exp.Expr) -> list[exp.Table]:
        """The relations that a node reads, also in queries nested in it; functions in `from` are none."""
        return [table for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]

    # ---------------------------------------------------------------- whose row is it?

    def _is_personal(self, name: str, column: str) -> bool:
        """Do equal values of this column mean the same person? A user's id, or a key made of it."""
        name = self.same(name)
        if name not in self.nodes:
            return column == PERSON_ID
        if name in self.branches:
            position = self.columns(name).index(column)
            return all(
                position < len(columns) and self.is_personal(branch, columns[position])
                for branch in self.branches[name]
                for columns in [self.columns(self.same(branch))]
            )
        made = self.definition(name, column)
        return made is not None and self._tells_person(name, made)

    def _tells_person(self, name: str, made: exp.Expr) -> bool:
        if isinstance(made, exp.Column):
            found = self.resolve(name, made)
            return found is not None and found[0].node is not None and self.is_personal(found[0].node, found[1])
        if isinstance(made, exp.Case):
            default = made.args.get("default")
            results = [*(branch.args["true"] for branch in made.args["ifs"]), default]
            return all(result is not None and self._tells_person(name, result) for result in results)
        if isinstance(made, (exp.Paren, exp.Cast, exp.MD5, exp.Coalesce)):
            return self._tells_person(name, made.this)
        if isinstance(made, exp.DPipe):
            return self._tells_person(name, made.left) or self._tells_person(name, made.right)
        if isinstance(made, (exp.Concat, exp.ConcatWs)):
            return any(self._tells_person(name, part) for part in made.expressions)
        return False

    def personal_column(self, name: str) -> str | None:
        """A column of a node that tells whose row it is, the user's id first."""
        columns = self.columns(self.same(name))
        ordered = sorted(columns, key=lambda column: column != PERSON_ID)
        return next((column for column in ordered if self.is_personal(name, column)), None)

    # ---------------------------------------------------------------- what must be read

    def push(self, name: str, demand: Demand, values: Values) -> dict[str, Demand]:
        """The demand on each source, by alias (by branch for a union), that `demand` leaves; sources not named are read whole."""
        if name in self.branches:
            return self._push_branches(name, demand)
        if not isinstance(self.nodes[name], exp.Select) or not _may_be_cut(self.nodes[name]):
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
        position = {column: number for number, column in enumerate(self.columns(name))}
        pushed = {}
        for branch in self.branches[name]:
            columns = self.columns(self.same(branch))
            pushed[branch] = frozenset(
                (column if column == PERSON else columns[position[column]], allowed) for column, allowed in demand
            )
        return pushed

    def _start(self, name: str, demand: Demand) -> list[tuple[str, str, frozenset[object]]]:
        """(alias, column, values) for each part of the demand whose column is one of a source's."""
        found = []
        for column, allowed in sorted(demand, key=lambda part: part[0]):
            asked = column if column != PERSON else self.personal_column(name)
            made = self.definition(name, asked) if asked else None
            if made is None:
                continue
            if column == PERSON:
                tells = (part for part in own(made) if isinstance(part, exp.Column) and self._tells_person(name, part))
                made = next(tells, made)
            resolved = self.resolve(name, made) if isinstance(made, exp.Column) else None
            if resolved and resolved[0].node:
                source, inner = resolved
                found.append((source.alias, PERSON if column == PERSON else inner, allowed))
        return found

    def _splits(self, name: str, part: tuple[str, str, frozenset[object]]) -> bool:
        """Does every group and every window stay within one value of this column?"""
        keyed: list[list[exp.Expr]] = [
            list(window.args.get("partition_by") or ()) for window in own(self.nodes[name], exp.Window)
        ]
        if self.is_grouped(name):
            keyed.append(self.group_keys(name))
        return all(any(self._is_that(name, key, part) for key in keys) for keys in keyed)

    def _is_that(self, name: str, key: exp.Expr, part: tuple[str, str, frozenset[object]]) -> bool:
        alias, column, _ = part
        if column == PERSON or self._is_person_id(name, alias, column):
            return self._tells_person(name, key)
        resolved = self.resolve(name, key) if isinstance(key, exp.Column) else None
        return resolved is not None and (resolved[0].alias, resolved[1]) == (alias, column)

    def _is_person_id(self, name: str, alias: str, column: str) -> bool:
        node = next(source.node for source in self.sources(name) if source.alias == alias)
        return column == PERSON_ID and node is not None and self.is_personal(node, column)

    def _widened(
        self, name: str, wanted: Sequence[tuple[str, str, frozenset[object]]], values: Values
    ) -> tuple[str, str, frozenset[object]] | None:
        """Instead of the wanted rows, all rows of the partitions that they are in: where a window looks at others."""
        sources = self.sources(name)
        if len(sources) != 1 or self.is_grouped(name):
            return None
        windows = list(own(self.nodes[name], exp.Window))
        (source,) = sources
        for key in windows[0].args.get("partition_by") or ():
            resolved = self.resolve(name, key) if isinstance(key, exp.Column) else None
            if (
                source.node is None
                or resolved is None
                or not self._splits(name, (source.alias, resolved[1], frozenset()))
            ):
                continue
            inner = frozenset((column, allowed) for _, column, allowed in wanted)
            allowed = values(source.node, inner, resolved[1])
            if allowed is not None and None not in allowed:  # those without a value are a partition as well
                return source.alias, resolved[1], allowed
        return None

    def _add_constants(self, name: str, pushed: dict[str, dict[str, frozenset[object]]]) -> None:
        """What `where` itself asks of a column by constants narrows its source as well."""
        where = self.nodes[name].args.get("where")
        for part in conjuncts(where.this if where else None):
            column = part.this
            given = (
                [part.expression] if isinstance(part, exp.EQ) else part.expressions if isinstance(part, exp.In) else []
            )
            resolved = self.resolve(name, column) if isinstance(column, exp.Column) else None
            if resolved is None or resolved[0].node is None or not self.is_about_people(resolved[0].node) or not given:
                continue
            if not all(isinstance(one, exp.Literal) and one.is_string for one in given):
                continue
            alias, inner = resolved[0].alias, resolved[1]
            if PERSON not in pushed.get(alias, {}) and inner not in pushed.get(alias, {}):
                pushed.setdefault(alias, {})[inner] = frozenset(one.name for one in given)

    def _spread(self, name: str, pushed: dict[str, dict[str, frozenset[object]]], values: Values) -> None:
        """From the sources that are cut to those joined with them: only what can join is needed."""
        sources = {source.alias: source for source in self.sources(name)}
        asked = set(pushed)
        equalities = list(self._equalities(name, asked))
        spread: set[tuple[str, str, str, str]] = set()
        while True:
            ready = [e for e in equalities if e[0] in pushed and e not in spread and e[2] not in asked]
            if not ready:
                return
            here, column, there, other = equality = ready[0]
            spread.add(equality)
            here_node, there_node = sources[here].node, sources[there].node
            if here_node is None or there_node is None:
                continue
            parts = pushed[here]
            people = parts.get(PERSON) or (parts.get(PERSON_ID) if self._is_person_id(name, here, PERSON_ID) else None)
            beyond = pushed.get(there, {})
            if PERSON in beyond or column == PERSON:
                continue
            if people is not None and self.is_personal(here_node, column) and self.is_personal(there_node, other):
                pushed[there] = {PERSON: people}
                continue
            allowed = parts.get(column) or values(here_node, frozenset(parts.items()), column)
            if allowed is not None:
                allowed -= {None}  # nothing equals it
                pushed.setdefault(there, {})[other] = allowed & beyond.get(other, allowed)

    def _equalities(self, name: str, asked: set[str]) -> Iterator[tuple[str, str, str, str]]:
        """(from alias, column, to alias, column): rows of the second are needed only where the first has their value.

        Through a left join only towards its right side, but for a right side that the demand itself asks for: the rows
        without a match are then not wanted.
        """
        select = self.nodes[name]
        clauses: list[tuple[str | None, exp.Expr | None]] = [(None, select.args.get("where"))]
        for source in self.sources(name):
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
                left, right = self.resolve(name, part.left), self.resolve(name, part.right)
                if left is None or right is None or left[0].alias == right[0].alias:
                    continue
                for one, two in ((left, right), (right, left)):
                    is_outwards = optional is None or two[0].alias == optional
                    if is_outwards or (one[0].alias == optional and optional in asked):
                        yield one[0].alias, one[1], two[0].alias, two[1]


def model_of(node: str) -> str:
    """The model that a node is a part of."""
    return node.partition("/")[0].partition("#")[0].partition("?")[0]


def named(expression: exp.Expr, name: str) -> exp.Alias:
    """An expression as a column of this name, whatever characters are in it."""
    return exp.Alias(this=expression, alias=exp.Identifier(this=name, quoted=True))


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """The parts that all must hold."""
    if condition is None:
        return []
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    return [part.unnest() for part in parts]


def own(tree: exp.Expr, *kinds: type[exp.Expr]) -> Iterator[exp.Expr]:
    """The parts of a select without those of queries nested in it."""
    for node in tree.walk(prune=lambda part: part is not tree and isinstance(part, (exp.Query, exp.Subquery))):
        if node is not tree and isinstance(node, (exp.Query, exp.Subquery)):
            continue
        if not kinds or isinstance(node, kinds):
            yield node


def is_aggregate(node: exp.Expr) -> bool:
    """Does this call make one value of many rows?"""
    if isinstance(node, exp.AggFunc):
        return True
    name = node.name if isinstance(node, exp.Anonymous) else node.key if isinstance(node, exp.Func) else ""
    return name.lower() in _AGGREGATES


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
