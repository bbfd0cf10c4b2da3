"""`postrider deliver`: what is released goes out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from dagster_project.adapters.clock import utc_text
from dagster_project.adapters.delivering import Counts
from dagster_project.adapters.notes import tidy
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.workers import Job, deliver_with


def deliver(
    home: Home, workers: int, is_watching: bool, as_of: datetime | None, on_progress: Callable[[Counts], None]
) -> dict[str, Any]:
    """Send what is released, with so many worker processes. A tick need not have run in this process, nor on this host."""
    with home.ledger() as ledger:
        last = ledger.last_tick(home.pack.name)
        if last is None:
            raise InputError(f"{home.path}: no tick of the pack {home.pack.name} yet; run one first: postrider run")
        tidy(home.notes, ledger.waiting_for)
    home.preflight_mail()
    job = Job(home.settings, as_of or (last.as_of if home.pack.horizon else None), home.pack.name, None, is_watching)
    counts = deliver_with(workers, job, on_progress)
    with home.ledger() as ledger:
        waiting, unknown = ledger.waiting(home.pack.name), len(ledger.unknown(home.pack.name))
    tried = sum(counts.outcomes.values())
    return {
        "workers": workers,
        **counts.as_dict(),
        "per_second": round(tried / counts.seconds, 1) if counts.seconds else 0.0,
        "waiting": {"messages": waiting.messages, "due_at": utc_text(waiting.due_at)},
        "in_doubt": unknown,
    }
