"""What `int_user_activity` says of each user, made from the same Parquet files with polars and with pandas, as one would write it there.

The columns, the vocabulary and every rule are the models': unreadable and repeated events are left out, late ones wait for their time.
Telemetry's own texts are few, so each is looked at once for being JSON; the models look at every row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

READ = ("event_id", "user_id", "event_name", "occurred_at", "received_at", "properties")
EVENT = ("event_id", "user_id", "event_name", "kind", "label")
SEEN = ("session", "feature", "value", "setup_step")
RECENT, ENGAGED, POWER, BOT_HOURS, BOT_EVENTS = 28, 4, 12, 20, 500  # the vars of dbt_project.yml
COLUMNS = (
    "active_days_7d",
    "active_days_28d",
    "active_days_prior_28d",
    "events_28d",
    "features_used_28d",
    "invites_sent",
    "is_bot",
    "engaged_since",
    "power_since",
    "activated_at",
    "last_seen_at",
)


def with_polars(files: str, vocabulary: Path, as_of: datetime, out: Path) -> None:
    import polars as pl

    lazy = pl.scan_parquet(files).select(READ)
    texts = lazy.select(pl.col("properties").unique()).collect()["properties"].to_list()
    readable = pl.col("properties").is_null() | pl.col("properties").is_in(_json_among(texts))
    known = [pl.col(name).is_not_null() for name in ("event_id", "user_id", "occurred_at", "received_at")]
    events = (
        lazy.filter(*known, readable)
        .join(pl.scan_parquet(vocabulary), on="event_name")
        .with_columns(occurred_at=pl.min_horizontal("occurred_at", "received_at"))
        .group_by(EVENT)
        .agg(pl.col("occurred_at").min(), pl.col("received_at").min())
        .filter(pl.col("received_at") <= as_of)
        .with_columns(
            event_date=pl.col("occurred_at").dt.date(),
            hour=pl.col("occurred_at").dt.hour(),
            is_seen=pl.col("kind").is_in(SEEN),
        )
        .with_columns(is_recent=pl.col("event_date") > as_of.date() - timedelta(days=RECENT))
    )
    day, seen, recent = pl.col("event_date"), pl.col("is_seen"), pl.col("is_recent")
    days = (
        events.group_by("user_id", "event_date")
        .agg(events=pl.len(), hours=pl.col("hour").n_unique(), is_seen=seen.any(), is_recent=recent.first())
        .with_columns(nth=day.rank("ordinal").over("user_id", seen & recent))
    )
    is_prior = ~recent & (day > as_of.date() - timedelta(days=2 * RECENT))
    per_day = days.group_by("user_id").agg(
        active_days_7d=(seen & (day > as_of.date() - timedelta(days=7))).sum(),
        active_days_28d=(seen & recent).sum(),
        active_days_prior_28d=(seen & is_prior).sum(),
        events_28d=pl.col("events").filter(recent).sum(),
        is_bot=(pl.col("hours").max() >= BOT_HOURS) | (pl.col("events").mean() > BOT_EVENTS),
        engaged_since=day.filter(seen & recent & (pl.col("nth") == ENGAGED)).min(),
        power_since=day.filter(seen & recent & (pl.col("nth") == POWER)).min(),
    )
    kind, at = pl.col("kind"), pl.col("occurred_at")
    per_kind = events.group_by("user_id").agg(
        features_used_28d=pl.col("label").filter((kind == "feature") & recent).n_unique(),
        invites_sent=(kind == "invite").sum(),
        activated_at=at.filter(kind == "value").min(),
        last_seen_at=at.filter(seen).max(),
    )
    per_day.join(per_kind, on="user_id").select("user_id", *COLUMNS).collect(engine="streaming").write_parquet(out)


def with_pandas(files: str, vocabulary: Path, as_of: datetime, out: Path) -> None:
    import pandas as pd
    import pyarrow.dataset

    folder = Path(files).parent
    raw: Any = pyarrow.dataset.dataset(folder, format="parquet").to_table(columns=list(READ)).to_pandas()
    readable = raw["properties"].isna() | raw["properties"].isin(_json_among(raw["properties"].unique()))
    raw = raw[readable].dropna(subset=["event_id", "user_id", "occurred_at", "received_at"])
    events = raw.merge(pd.read_parquet(vocabulary), on="event_name")
    events["occurred_at"] = events[["occurred_at", "received_at"]].min(axis=1)
    events = events.groupby(list(EVENT), as_index=False, sort=False)[["occurred_at", "received_at"]].min()
    events = events[events["received_at"] <= as_of]
    events["event_date"] = events["occurred_at"].dt.normalize()
    events["hour"] = events["occurred_at"].dt.hour
    events["is_seen"] = events["kind"].isin(SEEN)
    today = pd.Timestamp(as_of).normalize()
    events["is_recent"] = events["event_date"] > today - pd.Timedelta(days=RECENT)
    days = events.groupby(["user_id", "event_date"], as_index=False).agg(
        events=("hour", "size"), hours=("hour", "nunique"), is_seen=("is_seen", "any"), is_recent=("is_recent", "first")
    )
    days["counts"] = days["is_seen"] & days["is_recent"]
    days["nth"] = days.groupby(["user_id", "counts"])["event_date"].rank(method="first")
    days["week"] = days["is_seen"] & (days["event_date"] > today - pd.Timedelta(days=7))
    days["prior"] = days["is_seen"] & ~days["is_recent"] & (days["event_date"] > today - pd.Timedelta(days=2 * RECENT))
    days["recent_events"] = days["events"].where(days["is_recent"], 0)
    for name, nth in (("engaged_since", ENGAGED), ("power_since", POWER)):
        days[name] = days["event_date"].where(days["counts"] & (days["nth"] == nth))
    found = days.groupby("user_id").agg(
        active_days_7d=("week", "sum"),
        active_days_28d=("counts", "sum"),
        active_days_prior_28d=("prior", "sum"),
        events_28d=("recent_events", "sum"),
        most_hours=("hours", "max"),
        mean_events=("events", "mean"),
        engaged_since=("engaged_since", "min"),
        power_since=("power_since", "min"),
    )
    found["is_bot"] = (found["most_hours"] >= BOT_HOURS) | (found["mean_events"] > BOT_EVENTS)
    is_recent_feature = (events["kind"] == "feature") & events["is_recent"]
    found["features_used_28d"] = events[is_recent_feature].groupby("user_id")["label"].nunique()
    found["invites_sent"] = events[events["kind"] == "invite"].groupby("user_id").size()
    found[["features_used_28d", "invites_sent"]] = found[["features_used_28d", "invites_sent"]].fillna(0).astype(int)
    found["activated_at"] = events[events["kind"] == "value"].groupby("user_id")["occurred_at"].min()
    found["last_seen_at"] = events[events["is_seen"]].groupby("user_id")["occurred_at"].max()
    found.reset_index()[["user_id", *COLUMNS]].to_parquet(out)


def _json_among(texts: Iterable[Any]) -> list[str]:
    """Those of them that are JSON."""
    readable = []
    for text in texts:
        try:
            json.loads(text)
        except (TypeError, ValueError):
            continue
        readable.append(text)
    return readable
