"""`postrider reconcile`: the messages of which nobody knows whether they went out, with their evidence, and what settles them."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from dagster_project.adapters.channels.outbox import was_written
from dagster_project.adapters.clock import utc_now, utc_text
from dagster_project.adapters.delivering import LEASE_SECONDS, settle_by_notes
from dagster_project.adapters.event_file import read_events
from dagster_project.adapters.notes import tidy
from dagster_project.adapters.repeating import Repeats, usable
from dagster_project.home import Home
from dagster_project.ledger import Ledger, Unknown
from dagster_project.ledger.repeats import Standing
from dagster_project.ledger.unknowns import Settlement
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.mime import header_message_id
from dagster_project.lifecycle.provider_events import Event, settled_by

RESEND_AFTER = timedelta(hours=72)  # for events that may still tell; then a campaign's `on_unknown: resend` is obeyed


def reconcile(
    home: Home,
    messages: Sequence[str],
    word: str | None,
    actor: str | None,
    evidence: str | None,
    *,
    by_key: bool = False,
    event_file: Path | None = None,
) -> dict[str, Any]:
    """Settle what can be settled without a person; list the rest with its evidence, or settle what is named by `word`.

    `by_key` repeats the requests of those named, or of all, whose transport knows their keys. `event_file` is what a provider said
    of its mails; InputError, with nothing settled by it, for a line that can't be read.
    """
    ways = [f"--as {word!r}"] * bool(word) + ["--by-key"] * by_key + ["--events"] * (event_file is not None)
    if len(ways) > 1:
        raise InputError(f"reconcile: found {' and '.join(ways)}; allowed: one of them")
    if event_file and messages:
        raise InputError(
            f"reconcile: found --events and {messages[0]}; allowed: --events alone, for all that it speaks of"
        )
    events = read_events(event_file) if event_file else []
    with home.ledger() as ledger:
        lost = ledger.extend_claims("reconcile", LEASE_SECONDS)
        settled: dict[str, int] = {}
        if by_inbox := ledger.settle_by_inbox(utc_now()):
            settled["by_inbox"] = by_inbox
        if by_notes := settle_by_notes(ledger, home.notes, utc_now()):
            settled["by_notes"] = sum(by_notes.values())
        if by_event := _settle_by_events(ledger, home.pack.name, events):
            settled["by_event"] = by_event
        if by_key:
            settled |= _settle_by_key(home, ledger, messages, actor)
        elif messages or word:
            settled["by_you"] = _settle_named(home, messages, word, actor, evidence)
        doubtful = ledger.unknown(home.pack.name)
        written = {one.message_id: "sent" for one in doubtful if was_written(home.outbox, one.message_id, one.raw)}
        resent = _to_resend(home, [one for one in doubtful if one.message_id not in written])
        now = utc_now()
        for name, words, why in (
            ("by_outbox", written, "its file is in the outbox"),
            ("by_policy", resent, f"on_unknown: resend, after {RESEND_AFTER}"),
        ):
            if words:
                leases = {one.message_id: one.lease for one in doubtful}
                settled[name] = ledger.settle(words, "policy", why, now, leases)  # type: ignore[arg-type]
        left = ledger.unknown(home.pack.name)
        tidy(home.notes, ledger.waiting_for)
        standing = ledger.standing(_usable(home), home.pack.name, _as_of(home, ledger)) if left else {}
    return {
        "given_up": lost,
        "settled": settled,
        "in_doubt": [_told(one, standing.get(one.message_id)) for one in left],
    }


def _settle_by_events(ledger: Ledger, source_pack: str, events: Sequence[Event]) -> int:
    """How many were settled. What the file says of all other mails is left to whoever keeps it."""
    by_mail: dict[str, list[Event]] = {}
    for event in events:
        by_mail.setdefault(event.mail, []).append(event)
    settled = 0
    for one in ledger.unknown(source_pack) if by_mail else ():
        told = [*by_mail.get(one.message_id, ()), *by_mail.get(header_message_id(one.raw or b"") or "", ())]
        if proof := settled_by(told, one.started_at):
            word, event = proof
            why = f"{event.name} at {utc_text(event.at)}"
            settled += ledger.settle({one.message_id: word}, "provider", why, utc_now(), {one.message_id: one.lease})
    return settled


def _as_of(home: Home, ledger: Ledger) -> datetime:
    """The time by which a message is too late: now, and for data that ends in the past that of its last tick."""
    last = ledger.last_tick(home.pack.name)
    return last.as_of if last is not None and home.pack.horizon else utc_now()


def _usable(home: Home) -> Mapping[str, timedelta]:
    """The transports that the settings name and that take keys. With settings that name none, none can be asked."""
    try:
        return usable(home.channel(utc_now()))
    except InputError:
        return {}


def _settle_by_key(home: Home, ledger: Ledger, messages: Sequence[str], actor: str | None) -> dict[str, int]:
    """Outcome → how many. Refusal for a message that is not in doubt, InputError for a channel that cannot be opened."""
    doubtful = {one.message_id for one in ledger.unknown(home.pack.name)}
    if strangers := sorted(set(messages) - doubtful):
        raise Refusal(f"message {strangers[0]} is not in doubt: there is nothing to ask")
    as_of = _as_of(home, ledger)
    with home.channel(as_of) as channel, ledger.watch() as watch:
        repeats = Repeats(
            ledger,
            channel,
            watch,
            worker=actor or f"reconcile:{socket.gethostname()}:{os.getpid()}",
            clock=utc_now,
            as_of=as_of,
            source_pack=home.pack.name,
            way=home.way,
        )
        repeats.look(message_ids=messages or sorted(doubtful))
    return {f"{outcome}_by_key": count for outcome, count in repeats.outcomes.items() if outcome != "unknown"}


def _settle_named(
    home: Home, messages: Sequence[str], word: str | None, actor: str | None, evidence: str | None
) -> int:
    allowed = get_args(Settlement)
    if word not in allowed or not messages:
        raise InputError(
            f"reconcile: found --as {word!r} for {len(messages)} messages; allowed: message_ids, and --as {', '.join(allowed)}"
        )
    if not actor or not evidence:
        raise InputError("reconcile: a message is settled on somebody's word; allowed: --by and --evidence, both given")
    with home.ledger() as ledger:
        return ledger.settle(dict.fromkeys(messages, word), actor, evidence, utc_now())  # type: ignore[arg-type]


def _to_resend(home: Home, doubtful: Sequence[Unknown]) -> dict[str, str]:
    """Those whose campaign says `on_unknown: resend`, and for which nobody has spoken for three days."""
    if not doubtful:
        return {}
    patient = utc_now() - RESEND_AFTER
    again = {name for name, policy in home.policies.items() if policy.on_unknown == "resend"}
    return {one.message_id: "resend" for one in doubtful if one.campaign_id in again and one.started_at <= patient}


def _told(one: Unknown, standing: Standing | None) -> dict[str, Any]:
    """The evidence that helps a person look elsewhere: the envelope's recipient, the header by which servers log, the words; and whether
    the other side can be asked by key: until when, or why not."""
    return {
        "message_id": one.message_id,
        "campaign_id": one.campaign_id,
        "user_id": one.user_id,
        "recipient": one.rcpt_to,
        "header_message_id": header_message_id(one.raw or b""),
        "attempt": one.attempt,
        "worker": one.worker,
        "started_at": utc_text(one.started_at),
        "reason": one.reason or "no_reply",
        "detail": one.detail,
        "transport": one.transport,
        "by_key": {
            "until": utc_text(standing.until if standing else None),
            "obstacle": standing.obstacle if standing else "settled",
        },
    }
