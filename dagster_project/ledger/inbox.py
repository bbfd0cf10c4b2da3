"""The in-app inbox: what the product's own pages show to a person, each message once, until it expires.

Putting a message there is a transaction of this very database, so nobody ever has to guess whether it went out: the event in the
chain says so, also after the row has expired or its person was erased.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.database import among
from dagster_project.ledger.messages import refuse_unstorable
from dagster_project.ledger.schema import drafts, events, inbox, messages, recipients
from dagster_project.ledger.transitions import Held, lock_where
from dagster_project.lifecycle.call_to_action import call_to_action
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import State

KEPT = timedelta(days=30)  # for a message that does not say itself until when it is worth reading
MAX_CONTENT_BYTES = 256 * 1024  # subject, text and HTML; the content gate stops a mail at 102 kB of HTML
PUT, PURGED = "inbox", "inbox_purged"  # kinds of events
_MAY_BE_PUT: frozenset[State] = frozenset({"sending", "unknown"})  # unknown: its worker was given up, and lives


@dataclasses.dataclass(frozen=True, slots=True)
class InboxMessage:
    """One message as its reader sees it. Times are UTC and naive; `html` is as written, to be shown in a sandbox."""

    message_id: str
    subject: str
    text: str
    html: str
    cta_url: str | None  # the link to follow, where one was found
    created_at: datetime
    expires_at: datetime
    read_at: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Inbox:
    """One person's inbox: the newest messages first, as many as were asked for; `unread` counts all that are there."""

    messages: list[InboxMessage]
    unread: int


def inbox_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a put commits to."""
    names = ("message_id", "user_id", "subject", "text", "html", "cta_url", "created_at", "expires_at")
    return {name: row[name] for name in names}


def deliver_to_inbox(
    write: Write, message_id: str, subject: str, text: str, html: str, expires_at: datetime | None = None
) -> bool:
    """Put a message that is being sent into its person's inbox, until `expires_at`; by default until its `send_before`, else
    for 30 days.

    False when it was put before, also when it has expired since: then nothing changes. Refusal, with nothing written, for
    what can never be put: another content under this id, text that cannot be stored or is too long, an expiry that has passed, a
    message that nobody is sending, a person who was erased.
    """
    _refuse_unfit(message_id, subject, text, html)
    held = lock_where(write, messages.c.message_id == message_id)  # also the head: whoever puts, puts alone
    if not held:
        raise Refusal(f"message {message_id} is not in the ledger")
    there = write.connection.execute(
        sa.select(inbox.c.subject, inbox.c.text, inbox.c.html).where(inbox.c.message_id == message_id)
    ).one_or_none()
    if there is not None and tuple(there) != (subject, text, html):
        raise Refusal(f"message {message_id} is in the inbox with another content")
    if there is not None or put_among(write.connection, [message_id]):
        return False
    expires_at = expires_at or held[0].send_before or write.now + KEPT
    _refuse_to_put(write, held[0], expires_at)
    row: dict[str, Any] = {
        "message_id": message_id,
        "user_id": held[0].user_id,
        "subject": subject,
        "text": text,
        "html": html,
        "cta_url": call_to_action(html, _unsubscribe_url(write.connection, held[0])),
        "created_at": write.now,
        "expires_at": expires_at,
        "read_at": None,
        "salt": new_salt(),
    }
    payload = {"attempt": held[0].attempts, "commitment": commitment(row["salt"], inbox_fields(row))}
    row["seq"] = write.append(
        PUT, actor="postrider", message_id=message_id, campaign_id=held[0].campaign_id, payload=payload
    )
    write.connection.execute(sa.insert(inbox), row)
    return True


def _refuse_unfit(message_id: str, subject: str, text: str, html: str) -> None:
    try:
        refuse_unstorable(message_id, subject, text, html)
    except InputError as error:
        raise Refusal(str(error)) from None
    size = sum(len(part.encode()) for part in (subject, text, html))
    if size > MAX_CONTENT_BYTES:
        raise Refusal(f"message {message_id} has {size} bytes; allowed in an inbox: {MAX_CONTENT_BYTES}")


def _refuse_to_put(write: Write, held: Held, expires_at: datetime) -> None:
    if held.state not in _MAY_BE_PUT:
        raise Refusal(f"message {held.message_id} is {held.state}: only what is being sent can be put into an inbox")
    person = sa.select(recipients.c.message_id).where(recipients.c.message_id == held.message_id)
    if write.connection.execute(person).first() is None:
        raise Refusal(f"message {held.message_id}: its person was erased")
    if expires_at <= write.now:
        raise Refusal(f"message {held.message_id} expired at {expires_at.isoformat()}: nobody would ever see it")


def _unsubscribe_url(connection: sa.Connection, held: Held) -> str | None:
    current = sa.select(drafts.c.unsubscribe_url).where(
        drafts.c.message_id == held.message_id, drafts.c.revision == held.draft_revision
    )
    return connection.execute(current).scalar_one_or_none()


def put_among(connection: sa.Connection, message_ids: Collection[str]) -> frozenset[str]:
    """Those of these messages that were ever put into an inbox."""
    put = sa.select(events.c.message_id).where(
        among(connection, events.c.message_id, message_ids), events.c.kind == PUT
    )
    return frozenset(connection.execute(put).scalars())


def read_inbox(connection: sa.Connection, user_id: str, now: datetime, limit: int) -> Inbox:
    """This person's messages that have not expired. InputError for a limit below 1."""
    if limit < 1:
        raise InputError(f"inbox: found a limit of {limit}; allowed: at least 1")
    counted = inbox.alias()
    unread = (
        sa.select(sa.func.count())
        .select_from(counted)
        .where(counted.c.user_id == user_id, counted.c.expires_at > now, counted.c.read_at.is_(None))
        .scalar_subquery()
    )
    columns = [inbox.c[field.name] for field in dataclasses.fields(InboxMessage)]
    query = (  # one statement, so that list and count are of one moment
        sa.select(unread.label("unread"), *columns)
        .where(inbox.c.user_id == user_id, inbox.c.expires_at > now)
        .order_by(inbox.c.created_at.desc(), inbox.c.message_id)
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    shown = [InboxMessage(**{column.name: row[column] for column in columns}) for row in rows]
    return Inbox(shown, rows[0]["unread"] if rows else 0)


def mark_read(write: Write, user_id: str, message_id: str) -> bool:
    """This person has read this message; the first time is the one that is kept. False when they have no such message, or it has
    expired. No event tells of it: what people read must be erasable."""
    theirs = (inbox.c.message_id == message_id, inbox.c.user_id == user_id, inbox.c.expires_at > write.now)
    marked = write.connection.execute(
        sa.update(inbox).where(*theirs, inbox.c.read_at.is_(None)).values(read_at=write.now)
    )
    if marked.rowcount:
        return True
    return write.connection.execute(sa.select(inbox.c.message_id).where(*theirs)).first() is not None


def purge_expired(write: Write) -> int:
    """Delete what has expired; returns how many. The events that tell of it stay."""
    write.lock_head()  # so that two of them don't delete the same rows in different orders
    count = write.connection.execute(sa.delete(inbox).where(inbox.c.expires_at <= write.now)).rowcount
    if count:
        write.append(PURGED, actor="postrider", payload={"messages": count})
    return count
