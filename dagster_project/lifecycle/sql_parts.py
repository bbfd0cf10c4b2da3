"""The parts of a parsed select that questions about it are asked of."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

_AGGREGATES = frozenset({"list", "string_agg", "histogram", "mode", "any_value", "first", "last"})


def own(tree: exp.Expr, *kinds: type[exp.Expr]) -> Iterator[exp.Expr]:
    """The parts of a select without those of queries nested in it."""
    for node in tree.walk(prune=lambda part: part is not tree and isinstance(part, (exp.Query, exp.Subquery))):
        if node is not tree and isinstance(node, (exp.Query, exp.Subquery)):
            continue
        if not kinds or isinstance(node, kinds):
            yield node


def tables(tree: exp.Expr) -> list[exp.Table]:
    """The relations that a node reads, also in queries nested in it; functions in `from` are none."""
    return [table for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """The parts that all must hold."""
    if condition is None:
        return []
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    return [part.unnest() for part in parts]


def is_aggregate(node: exp.Expr) -> bool:
    """Does this call make one value of many rows?"""
    if isinstance(node, exp.AggFunc):
        return True
    name = node.name if isinstance(node, exp.Anonymous) else node.key if isinstance(node, exp.Func) else ""
    return name.lower() in _AGGREGATES


def named(expression: exp.Expr, name: str) -> exp.Alias:
    """An expression as a column of this name, whatever characters are in it."""
    return exp.Alias(this=expression, alias=exp.Identifier(this=name, quoted=True))
