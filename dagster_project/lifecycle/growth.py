"""Which models of a replay can be moved on by what has arrived since the last tick, instead of being made anew. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import sqlglot
from sqlglot import exp

# Aggregates that put together from parts: of the parts' values, what of the whole is. Their nulls do not count.
_MERGED: Mapping[type[exp.Expr], str] = {
    exp.Min: "least({old}, {new})",
    exp.Max: "greatest({old}, {new})",
    exp.Count: "{old} + {new}",
    exp.BitwiseOrAgg: "{old} | {new}",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Growth:
    """How a model grows: its SQL over what has arrived, and how that is put into what stands."""

    source: str  # the model that it reads
    arrivals: str  # the source's SQL, with only what arrived after the tick before
    keys: tuple[str, ...]
    values: Mapping[str, str]  # column → what it becomes, of old.<column> and new.<column>


def growth(sql: str, models: Mapping[str, str], time: str, before: str) -> Growth | None:
    """How to move a model on from the tick `before` to that of `time`; None where its form doesn't prove that it can be.

    It can where it is one grouping of all rows of one model by `min`, `max`, `count(*)` and `bit_or`, and where that model is told
    the time at one place only, `where <column> <= time`: what is seen once stays, and what comes is above the line.
    """
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    ctes = list(tree.find_all(exp.CTE))
    if len(ctes) != 2 or time in sql or _star_of(tree) != ctes[-1].alias:  # noqa: PLR2004 - what it reads, what it groups
        return None
    source, grouped = (cte.this for cte in ctes)
    relation = _star_of(source)
    told = re.search(rf"where\s+(\w+) <= {re.escape(time)}(?=\s*\))", models.get(relation or "", ""))
    group = grouped.args.get("group") if isinstance(grouped, exp.Select) else None
    if relation is None or told is None or models[relation].count(time) != 1 or group is None:
        return None
    plain = {"expressions", "from_", "from", "group", "kind"}
    if any(value for name, value in grouped.args.items() if name not in plain):
        return None
    count = len(group.expressions)
    if [each.sql() for each in group.expressions] != [str(place) for place in range(1, count + 1)]:
        return None
    keys, values = grouped.expressions[:count], {}
    for one in grouped.expressions[count:]:
        inner = one.unalias()
        form = _MERGED.get(type(inner))
        if (
            form is None
            or (isinstance(inner, exp.Count) and not isinstance(inner.this, exp.Star))
            or inner.find(exp.Distinct)
        ):
            return None
        values[one.alias_or_name] = form.format(old=f"old.{one.alias_or_name}", new=f"new.{one.alias_or_name}")
    arrivals = models[relation].replace(told[0], f"{told[0]} and {told[1]} > {before}")
    return Growth(relation, arrivals, tuple(one.alias_or_name for one in keys), values)


def _star_of(select: exp.Expr) -> str | None:
    """The one relation that a bare `select * from …` reads."""
    if not isinstance(select, exp.Select) or [each.sql() for each in select.expressions] != ["*"]:
        return None
    if any(
        value
        for name, value in select.args.items()
        if name not in ("expressions", "from_", "from", "with_", "with", "kind")
    ):
        return None
    tables = [table for table in select.find_all(exp.Table) if table.find_ancestor(exp.Select) is select]
    return tables[0].name if len(tables) == 1 else None
