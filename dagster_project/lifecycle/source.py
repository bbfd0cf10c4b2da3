"""What a source pack promises: which files land as which raw tables, with which columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime


@dataclasses.dataclass(frozen=True, slots=True)
class RawTable:
    """One source file or folder, landed as it was received: no row dropped, no value changed."""

    name: str  # table in schema `raw`, and asset key: raw_users, raw_events, …
    path: str  # relative to the data folder; may be a glob: "events/*.parquet"
    columns: tuple[str, ...]  # must be there; others are refused, so that a change of layout is noticed
    is_optional: bool = False
    description: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class SourcePack:
    """One layout of source data. `gate` names the columns that the ingest gate looks at, null where there is none."""

    name: str
    tables: tuple[RawTable, ...]
    gate: Mapping[
        str, str | None
    ]  # users, user_key, user_email, events, event_user_key, event_occurred_at, event_received_at
    horizon: datetime | None = None  # when the data was read, UTC naive; None means now
