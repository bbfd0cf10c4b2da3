"""Ledgers in which nothing has happened yet: made once per process by the migrations, then copied, which takes a fifteenth of the time."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from dagster_project.adapters.clock import utc_now
from dagster_project.ledger import open_ledger


def new_ledger(path: Path) -> str:
    """The URL of an empty ledger at `path`. Tests of the migrations themselves open a file that isn't there instead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        open_ledger(f"sqlite:///{path}", utc_now).close()
        return path.read_bytes()
