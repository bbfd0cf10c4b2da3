"""SQL that several suites need."""

from __future__ import annotations

from datetime import datetime, timedelta

# An address that a mail server could accept: dot-atom at a host of at least two labels. Stricter checks (does the
# host exist, is the box full) are the transport's; this one finds columns that hold something else.
_ATOM = r"[^\s@<>()\[\]\\,;:\".]+"
_LABEL = r"[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?"
ADDRESS = rf"^{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+\p{{L}}(?:[\p{{L}}\p{{N}}-]*[\p{{L}}\p{{N}}])$"


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def moment(value: datetime) -> str:
    """A timestamp literal."""
    return f"timestamp '{value:%Y-%m-%d %H:%M:%S.%f}'"


def later(value: datetime, minutes: float) -> str:
    """A timestamp literal, so many minutes later."""
    return moment(value + timedelta(minutes=minutes))


def name(identifier: str) -> str:
    """A quoted column or table name."""
    return '"' + identifier.replace('"', '""') + '"'


def is_address(column: str) -> str:
    """A boolean expression: whether this text could be an e-mail address. Null stays null."""
    return f"(length({column}) <= 254 and regexp_matches({column}, {text(ADDRESS)}))"


def filled(column: str) -> str:
    """The text without surrounding blanks; null when nothing is left."""
    return f"nullif(trim(cast({column} as varchar)), '')"


def share(value: float) -> str:
    """A share for a sentence: 0.995 is `99.5 %`."""
    return f"{value * 100:g} %"
