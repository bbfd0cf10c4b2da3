"""The one place that asks the time, and says it to machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


def utc_now() -> datetime:
    """The time now: UTC, naive, as everywhere in Postrider."""
    return datetime.now(UTC).replace(tzinfo=None)


@overload
def utc_text(moment: datetime) -> str: ...
@overload
def utc_text(moment: datetime | None) -> str | None: ...
def utc_text(moment: datetime | None) -> str | None:
    """A naive UTC time in ISO 8601, whole seconds, with its Z."""
    return f"{moment.isoformat(timespec='seconds')}Z" if moment else None
