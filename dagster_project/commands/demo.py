"""`postrider demo`: the synthetic company's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster_project.demo.company import generate
from dagster_project.home import Home


def demo(home: Home, users: int, days: int, seed: int, out: Path | None) -> dict[str, Any]:
    """Make the data of one company; returns rows per relation, bytes and seconds."""
    folder = out or home.data
    if out is None:
        home.prepare()
    summary = generate(folder, users=users, days=days, seed=seed, threads=home.settings.threads)
    return {"out": str(folder), "users": users, "days": days, "seed": seed, **summary.as_dict()}
