"""A file of what a provider said of its mails: one event per line, as JSON."""

from __future__ import annotations

from pathlib import Path

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.provider_events import Event, read_event


def read_events(path: Path) -> list[Event]:
    """All of them, empty lines left out. InputError for a file or a line that can't be read."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # JSON may hold the other ends of a line, as U+2028
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"{path}: {reason}; allowed: a text file with one event per line, as JSON") from error
    return [read_event(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
