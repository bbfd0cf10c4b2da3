"""What a provider says became of its mails, and what that settles of a message in doubt.

The names of events are those of django-anymail, which has the same ones for every provider
(https://anymail.dev/en/stable/sending/tracking/#normalized-tracking-event).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from dagster_project.lifecycle.errors import InputError

# Whoever says one of these had the mail: to send it again would send it twice.
ACCEPTED = frozenset(
    {"queued", "sent", "deferred", "delivered", "bounced", "autoresponded"}
    | {"opened", "clicked", "complained", "unsubscribed", "subscribed"}
)
REFUSED = frozenset({"rejected", "failed"})  # it had the mail and will not send it
# A provider's clock and ours; under the minute that a message waits between two attempts, so that no earlier one is meant.
CLOCKS_DIFFER = timedelta(seconds=45)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event of one mail. `mail` is its Message-ID header with the angle brackets, or the message_id; `at` is UTC and naive."""

    mail: str
    name: str
    at: datetime


def read_event(line: str, where: str) -> Event:
    """One line of JSON with `message_id`, `event` and `at`; what else stands there is the provider's. InputError names `where`."""
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise InputError(f"{where}: found {line[:60]!r}; allowed: a JSON object with message_id, event and at")
    mail, name, at = (row.get(key) for key in ("message_id", "event", "at"))
    if not isinstance(mail, str) or not mail.strip(" <>"):
        raise InputError(f"{where}: message_id: found {mail!r}; allowed: a Message-ID header or a message_id")
    if not isinstance(name, str) or name not in ACCEPTED | REFUSED:
        raise InputError(f"{where}: event: found {name!r}; allowed: {', '.join(sorted(ACCEPTED | REFUSED))}")
    return Event(_whole(mail), name, _moment(at, where))


def _whole(mail: str) -> str:
    """Some providers drop the angle brackets of the header."""
    bare = mail.strip(" <>")
    return f"<{bare}>" if "@" in bare else bare


def _moment(at: object, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        pass
    raise InputError(f"{where}: at: found {at!r}; allowed: ISO 8601 with its zone such as 2026-09-01T09:00:00Z")


def settled_by(told: Sequence[Event], started_at: datetime) -> tuple[Literal["sent", "rejected"], Event] | None:
    """What the events of one mail say of the attempt that began at `started_at`, and the first that says so; None: nothing.

    A mail has the same Message-ID in every attempt. That it was accepted counts whichever attempt it was, a refusal only if it is
    not of an earlier one; where both are told, it may have arrived, and is not tried again.
    """
    in_order = sorted(told, key=lambda event: event.at)
    for event in in_order:
        if event.name in ACCEPTED:
            return "sent", event
    for event in in_order:
        if event.at >= started_at - CLOCKS_DIFFER:
            return "rejected", event
    return None
