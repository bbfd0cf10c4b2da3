"""The one place that asks the time."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now: UTC, naive, as everywhere in Postrider."""
    return datetime.now(UTC).replace(tzinfo=None)
