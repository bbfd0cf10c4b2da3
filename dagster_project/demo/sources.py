"""The source packs that ship: which files a data folder must hold, and which columns the ingest gate looks at."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from dagster_project.demo.company import MANIFEST
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.source import RawTable, SourcePack

DEMO = SourcePack(
    name="demo",
    tables=(
        RawTable(
            "raw_users",
            "users.parquet",
            (
                "user_id",
                "account_id",
                "email",
                "first_name",
                "locale",
                "timezone",
                "role",
                "created_at",
                "is_internal",
            ),
            description="One row per user of the product, as the application's database has it.",
        ),
        RawTable(
            "raw_accounts",
            "accounts.parquet",
            (
                "account_id",
                "name",
                "plan",
                "seats",
                "mrr",
                "industry",
                "company_size",
                "country",
                "owner_user_id",
                "parent_account_id",
                "created_at",
            ),
            description="One row per account (a paying or trying company), as of the export.",
        ),
        RawTable(
            "raw_events",
            "events/*.parquet",
            ("event_id", "user_id", "account_id", "event_name", "occurred_at", "received_at", "properties"),
            description="One row per delivery of a product event: repeats, late arrivals and unreadable rows included.",
        ),
        RawTable(
            "raw_subscriptions",
            "subscriptions.parquet",
            ("account_id", "plan", "status", "mrr", "trial_ends_at", "changed_at"),
            description="One row per change of an account's plan or payment state.",
        ),
        RawTable(
            "raw_consents",
            "consents.parquet",
            ("user_id", "channel", "message_type", "status", "source", "text_version", "recorded_at"),
            description="One row per change of a user's consent to a message type on a channel.",
        ),
        RawTable(
            "raw_tickets",
            "tickets.parquet",
            ("ticket_id", "user_id", "subject", "status", "opened_at", "closed_at"),
            is_optional=True,
            description="One row per support ticket.",
        ),
    ),
    gate={
        "users": "raw_users",
        "user_key": "user_id",
        "user_email": "email",
        "events": "raw_events",
        "event_user_key": "user_id",
        "event_occurred_at": "occurred_at",
        "event_received_at": "received_at",
    },
)

YAMMER = SourcePack(
    name="yammer",
    tables=(
        RawTable(
            "raw_users",
            "users.csv.gz",
            ("user_id", "created_at", "company_id", "language", "activated_at", "state"),
            description="One row per registered user, pending ones included.",
        ),
        RawTable(
            "raw_events",
            "events.csv.gz",
            ("user_id", "occurred_at", "event_type", "event_name", "location", "device", "user_type"),
            description="One row per product event; no event id, so a repeated event is an identical row.",
        ),
        RawTable(
            "raw_email_events",
            "email_events.csv.gz",
            ("user_id", "occurred_at", "action", "user_type"),
            description="One row per mail sent, opened or clicked before Postrider.",
        ),
        RawTable(
            "raw_experiments",
            "experiments.csv.gz",
            ("user_id", "occurred_at", "experiment", "experiment_group", "location", "device", "user_type"),
            description="One row per user of the one experiment.",
        ),
    ),
    # No address in the data: staging gives every user one under a reserved domain, so the gate has none to look at.
    gate={
        "users": "raw_users",
        "user_key": "user_id",
        "user_email": None,
        "events": "raw_events",
        "event_user_key": "user_id",
        "event_occurred_at": "occurred_at",
        "event_received_at": None,
    },
    horizon=datetime(2014, 9, 1),
)

PACKS: Mapping[str, SourcePack] = {pack.name: pack for pack in (DEMO, YAMMER)}


def pack(name: str, data: Path) -> SourcePack:
    """The pack `name` for the data folder; the demo company's own manifest says when it was read.

    Raises InputError for an unknown name and for a manifest that can't be read.
    """
    if name not in PACKS:
        raise InputError(f"source: found {name!r}; allowed: {', '.join(sorted(PACKS))}")
    manifest = data / MANIFEST
    if name != DEMO.name or not manifest.is_file():
        return PACKS[name]
    return dataclasses.replace(DEMO, horizon=_ends_at(manifest))


def _ends_at(manifest: Path) -> datetime:
    try:
        return datetime.fromisoformat(json.loads(manifest.read_text())["ends_at"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{manifest}: no readable 'ends_at'; allowed: what `postrider demo` wrote") from error
