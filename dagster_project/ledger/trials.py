"""Canaries of prompts and models: what became of each of their patterns, and of the messages written in each arm."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timedelta

import sqlalchemy as sa

from dagster_project.ledger.rows import Tried
from dagster_project.ledger.schema import attempts, drafts, inbox, messages, reviews, suppressions
from dagster_project.lifecycle.prompt_canary import CANARY, Fate, fate_of

ATTRIBUTED = timedelta(days=14)  # a suppression so soon after a message counts as an answer to it
_COMPLAINT = "complain"  # begins the reason of a suppression that a complaint caused; one of a bounce is no answer
_BOUNCE = "bounce"


def fates(connection: sa.Connection, name: str, version: str) -> dict[str, Fate]:
    """pattern -> what became of it, of the patterns that this version of a canary has written. The index alone is read."""
    columns = drafts.c.trial, drafts.c.fallback_reason, drafts.c.caution
    found: dict[str, Fate] = {}
    for row in connection.execute(sa.select(*columns).where(drafts.c.trial.is_not(None)).distinct()):
        trial = json.loads(row.trial)
        if (trial["name"], trial["version"], trial["arm"]) != (name, version, CANARY):
            continue
        if fate := fate_of(row.fallback_reason, row.caution):
            found[trial["pattern"]] = fate.or_as(found.get(trial["pattern"], fate))
    return found


def tried(connection: sa.Connection) -> list[Tried]:
    """One per message whose draft was part of a canary, with what became of it."""
    sent = dict(
        connection.execute(
            sa.select(attempts.c.message_id, sa.func.min(attempts.c.finished_at))
            .where(attempts.c.outcome == "sent")
            .group_by(attempts.c.message_id)
        )
        .tuples()
        .all()
    )
    answers: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for row in connection.execute(
        sa.select(suppressions.c.user_id, suppressions.c.created_at, suppressions.c.reason).where(
            suppressions.c.user_id.is_not(None)
        )
    ):
        answers[row.user_id].append((row.created_at, row.reason))
    current = sa.and_(drafts.c.message_id == messages.c.message_id, drafts.c.revision == messages.c.draft_revision)
    judged = sa.and_(reviews.c.message_id == drafts.c.message_id, reviews.c.revision == drafts.c.revision)
    # Of the first draft, which the arm wrote: what a person made of it counts as that person's verdict.
    first = drafts.alias()
    query = (
        sa.select(
            messages.c.message_id, messages.c.user_id, drafts.c.author, first.c.trial,
            first.c.fallback_reason, first.c.caution, reviews.c.verdict, reviews.c.reviewer,
            inbox.c.read_at, inbox.c.created_at.label("shown_at"),
        )
        .select_from(messages)
        .join(drafts, current)
        .join(first, sa.and_(first.c.message_id == messages.c.message_id, first.c.trial.is_not(None)))
        .outerjoin(reviews, judged)
        .outerjoin(inbox, inbox.c.message_id == messages.c.message_id)
        .order_by(messages.c.message_id, first.c.revision)
    )  # fmt: skip
    by_message = {row.message_id: row for row in connection.execute(query)}  # of several drafts of an arm the newest
    return [
        Tried(
            trial=json.loads(row.trial),
            fallback_reason=row.fallback_reason,
            caution=row.caution,
            verdict=_verdict(row),
            is_sent=row.message_id in sent,
            was_read=None if row.shown_at is None else row.read_at is not None,
            reasons=_reasons(answers[row.user_id], sent.get(row.message_id)),
        )
        for row in by_message.values()
    ]


def _verdict(row: sa.Row) -> str | None:
    """What a person said of the text; None where none was asked."""
    if row.author != "postrider":
        return "edited"
    return None if row.reviewer in (None, "policy") else row.verdict


def _reasons(answers: list[tuple[datetime, str]], sent_at: datetime | None) -> tuple[str, ...]:
    """`complained` and `unsubscribed`, each once."""
    if sent_at is None:
        return ()
    soon = [
        reason for at, reason in answers if sent_at <= at <= sent_at + ATTRIBUTED and not reason.startswith(_BOUNCE)
    ]
    return tuple(sorted({"complained" if reason.startswith(_COMPLAINT) else "unsubscribed" for reason in soon}))
