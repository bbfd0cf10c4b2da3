"""What several commands take from the command line, and how they answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from dagster_project.lifecycle.errors import InputError

FIRST_YEAR, LAST_YEAR = 1970, 2199  # beyond them a window of days before or after a tick would leave the calendar
MAX_SAID_CHARS = 500

Json = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, for machines")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="time of the tick, ISO 8601; without a zone it is UTC")]
Source = Annotated[str | None, typer.Option("--source", help="source pack: demo or yammer")]
Data = Annotated[Path | None, typer.Option("--data", help="folder with the source's files")]


def _said_something(text: str) -> str:
    """A reason or a name that the audit trail can show: one line with something in it."""
    if not text.strip() or not text.isprintable() or len(text) > MAX_SAID_CHARS:
        raise InputError(
            f"--reason and --by: found {text[:60]!r}; allowed is one line of 1 to {MAX_SAID_CHARS} characters"
        )
    return text.strip()


Reason = Annotated[str, typer.Option("--reason", help="why; it stands in the audit trail", callback=_said_something)]
Actor = Annotated[
    str, typer.Option("--by", envvar="USER", help="who; it stands in the audit trail", callback=_said_something)
]


def home(source: str | None = None, data: Path | None = None) -> Any:
    """The home that the environment, `.env` and these options name."""
    from dagster_project.commands.settings import open_home

    return open_home(source, data)


def moment(text: str | None, option: str = "--as-of") -> datetime | None:
    """UTC, naive, whole seconds."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{option} {text}: not a time; allowed is ISO 8601 such as 2026-09-01T09:00:00Z") from error
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InputError(f"{option} {text}: the year {moment.year}; allowed are {FIRST_YEAR} to {LAST_YEAR}")
    return (
        moment.astimezone(UTC).replace(tzinfo=None, microsecond=0) if moment.tzinfo else moment.replace(microsecond=0)
    )


def show(answer: Any, as_json: bool, lines: Callable[[Any], None]) -> None:
    """Print an answer for machines or for people."""
    if as_json:
        print(json.dumps(answer, default=str, ensure_ascii=False))
    else:
        lines(answer)
