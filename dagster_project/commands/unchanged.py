"""Whether a tick could find anything that the last one did not: if not, it is left out, and its report says so.

Everything a tick reads is looked at: the source's files, the project, the code, the settings, the warehouse as the last tick left it, and
the ledger. Its time is one of them: another `as_of` moves every window, so only a tick at the very same time is ever left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dagster_project.home import Home
from dagster_project.lifecycle.message import content_hash

KEPT = "last_tick.json"
CODE = Path(__file__).parent.parent
READ_BY_A_TICK = (".sql", ".yml", ".csv", ".j2", ".py", ".txt", ".md")


def keep(home: Home, as_of: datetime, report: Mapping[str, Any]) -> None:
    """Remember a tick that was done, and what it had read."""
    kept = home.path / KEPT
    beside = kept.with_name(f"{KEPT}.{os.getpid()}")
    beside.write_text(json.dumps({"inputs": inputs(home, as_of), "report": report}, default=str))
    beside.replace(kept)


def report_that_stands(home: Home, as_of: datetime) -> dict[str, Any] | None:
    """The report of the last tick where a tick now would read what that one read and change what that one changed: nothing."""
    try:
        kept = json.loads((home.path / KEPT).read_text())
        report: dict[str, Any] = kept["report"]
    except (OSError, ValueError, KeyError):
        return None  # no tick yet, or one of an older version: the next is a whole one
    if kept["inputs"] != inputs(home, as_of):
        return None
    with home.ledger() as ledger:
        return report if ledger.left_all_as_it_was(report["run_id"]) else None


def inputs(home: Home, as_of: datetime) -> str:
    """A hash over the time and over every file and setting that a tick reads; files by name, size and time of change. Secrets are
    left out: they decide nothing, and no hash of them shall lie about."""
    settings = home.settings
    project = settings.project
    return content_hash(
        {
            "as_of": as_of.isoformat(),
            "horizon": str(home.pack.horizon),
            "settings": {
                name: str(value)
                for name in type(settings).model_fields
                if not isinstance(value := getattr(settings, name), SecretStr)
            },
            "python": sys.version,
            "source": _stamps(home.data, (file for table in home.pack.tables for file in home.data.glob(table.path))),
            "project": _stamps(
                project, [*_files(project / "dbt_project"), *_files(project / "templates"), project / "delivery.yml"]
            ),
            "code": _stamps(CODE.parent, [*_files(CODE), *_files(CODE.parent / "expectations")]),
            "warehouse": _stamps(home.path, [home.warehouse.path]),
        }
    )


def _files(folder: Path) -> Iterable[Path]:
    """What a tick reads below this folder; not what dbt writes there."""
    return (
        file
        for file in folder.rglob("*")
        if file.suffix in READ_BY_A_TICK and "target" not in file.relative_to(folder).parts
    )


def _stamps(root: Path, files: Iterable[Path]) -> list[list[Any]]:
    found = {file: file.stat() for file in files if file.is_file()}
    return sorted([os.path.relpath(file, root), stat.st_size, stat.st_mtime_ns] for file, stat in found.items())
