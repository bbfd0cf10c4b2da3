"""`postrider deliver` and `reconcile`: what is released goes out; what is in doubt is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.delivering import LEASE_SECONDS, Counts, settle_by_notes
from dagster_project.adapters.notes import tidy
from dagster_project.home import Home
from dagster_project.ledger import Unknown
from dagster_project.ledger.unknowns import Settlement
from dagster_project.lifecycle.errors import InputError
from dagster_project.workers import Job, deliver_with

RESEND_AFTER = timedelta(hours=72)  # for events that may still tell; then a campaign's `on_unknown: resend` is obeyed


def deliver(
    home: Home, workers: int, is_watching: bool, as_of: datetime | None, on_progress: Callable[[Counts], None]
) -> dict[str, Any]:
    """Send what is released, with so many worker processes. A tick need not have run in this process, nor on this host."""
    with home.ledger() as ledger:
        last = ledger.last_tick(home.pack.name)
        if last is None:
            raise InputError(f"{home.path}: no tick of the pack {home.pack.name} yet; run one first: postrider run")
        tidy(home.notes, ledger.waiting_for)
    home.preflight_mail()
    job = Job(home.settings, as_of or (last.as_of if home.pack.horizon else None), home.pack.name, None, is_watching)
    counts = deliver_with(workers, job, on_progress)
    with home.ledger() as ledger:
        waiting, unknown = ledger.waiting(home.pack.name), len(ledger.unknown(home.pack.name))
    tried = sum(counts.outcomes.values())
    return {
        "workers": workers,
        **counts.as_dict(),
        "per_second": round(tried / counts.seconds, 1) if counts.seconds else 0.0,
        "waiting": {"messages": waiting.messages, "due_at": _text(waiting.due_at)},
        "in_doubt": unknown,
    }


def reconcile(
    home: Home, messages: Sequence[str], word: str | None, actor: str | None, evidence: str | None
) -> dict[str, Any]:
    """Settle what can be settled without a person; list the rest with its evidence, or settle what is named by `word`."""
    with home.ledger() as ledger:
        lost = ledger.extend_claims("reconcile", LEASE_SECONDS)
        settled: dict[str, int] = {}
        if by_inbox := ledger.settle_by_inbox(utc_now()):
            settled["by_inbox"] = by_inbox
        if by_notes := settle_by_notes(ledger, home.notes, utc_now()):
            settled["by_notes"] = sum(by_notes.values())
        if messages or word:
            settled["by_you"] = _settle_named(home, messages, word, actor, evidence)
        doubtful = ledger.unknown(home.pack.name)
        written = {one.message_id: "sent" for one in doubtful if home.was_written(one.message_id, one.raw)}
        resent = _to_resend(home, [one for one in doubtful if one.message_id not in written])
        now = utc_now()
        for name, words, why in (
            ("by_outbox", written, "its file is in the outbox"),
            ("by_policy", resent, f"on_unknown: resend, after {RESEND_AFTER}"),
        ):
            if words:
                settled[name] = ledger.settle(words, "policy", why, now)  # type: ignore[arg-type]
        left = ledger.unknown(home.pack.name)
        tidy(home.notes, ledger.waiting_for)
    return {"given_up": lost, "settled": settled, "in_doubt": [_told(one) for one in left]}


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


def _told(one: Unknown) -> dict[str, Any]:
    """The evidence that helps a person look elsewhere: the envelope's recipient, the header by which servers log, the words."""
    header = next(
        (line[12:].decode("ascii") for line in (one.raw or b"").split(b"\r\n") if line.startswith(b"Message-ID: ")),
        None,
    )
    return {
        "message_id": one.message_id,
        "campaign_id": one.campaign_id,
        "user_id": one.user_id,
        "recipient": one.rcpt_to,
        "header_message_id": header,
        "attempt": one.attempt,
        "worker": one.worker,
        "started_at": _text(one.started_at),
        "reason": one.reason or "no_reply",
        "detail": one.detail,
    }


def _text(moment: datetime | None) -> str | None:
    return f"{moment.isoformat(timespec='seconds')}Z" if moment else None
