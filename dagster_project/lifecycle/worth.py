"""What a policy's `value` may be: arithmetic over one person's row, which gives the same number whenever it is asked."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

# Whatever else there is asks for other rows, for chance or the clock, or ends a tick with an error on some person's numbers:
# a cast of a text, the logarithm of 0.
_ALLOWED = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg,
    exp.Abs, exp.Round, exp.Greatest, exp.Least, exp.Coalesce, exp.Nullif,
    exp.Case, exp.If, exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Between,
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
)  # fmt: skip
_COMPARISONS = (exp.In, exp.Between, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
ALLOWED = (
    "one SQL number out of columns of the person, numbers, + - * /, comparisons, case, coalesce, nullif, least, greatest, abs"
    " and round"
)


def unallowed(expression: str, dialect: str = "duckdb") -> str | None:
    """The part of `expression` that a value may not hold, the whole where it is no expression; None when it is a value."""
    try:
        (tree,) = sqlglot.parse(expression, dialect=dialect)
    except (SqlglotError, ValueError):
        return expression
    if tree is None or isinstance(tree.unnest(), (*_COMPARISONS, exp.Connector, exp.Not, exp.Is, exp.Boolean)):
        return expression
    for node in tree.walk():
        if node.comments:  # what follows it in the model would be a comment too
            return expression
        is_text = isinstance(node, exp.Literal) and node.is_string and not isinstance(node.parent, _COMPARISONS)
        if is_text or not isinstance(node, _ALLOWED):
            return node.sql(dialect=dialect)
    return None


def unknown_column(expression: str, known: set[str], dialect: str = "duckdb") -> str | None:
    """The first column, by name, that the person doesn't have; None when all are known."""
    tree = sqlglot.parse_one(expression, dialect=dialect)
    return min((name for column in tree.find_all(exp.Column) if (name := column.sql()) not in known), default=None)
