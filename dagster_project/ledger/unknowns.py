"""Messages of which nobody knows whether they went out: listed with their evidence, settled by somebody's word or by the inbox."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.claims import NOT_HELD
from dagster_project.ledger.inbox import put_among
from dagster_project.ledger.repeats import being_repeated
from dagster_project.ledger.schema import attempt_evidence, attempt_outcomes, attempts, messages
from dagster_project.ledger.sends import outcome_fields, write_outcomes
from dagster_project.ledger.transitions import Move, lock_messages, lock_where, move
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import Outcome, State
from dagster_project.lifecycle.worker import IN_APP

Settlement = Literal["sent", "rejected", "not_sent", "resend"]
# What is said of the message → its next state. `resend` is the one word that may send a mail twice.
_TO: Mapping[Settlement, State] = {"sent": "sent", "rejected": "rejected", "not_sent": "approved", "resend": "approved"}
SETTLEMENTS: tuple[Settlement, ...] = ("sent", "rejected", "not_sent", "resend")
_LAST = sa.and_(attempts.c.message_id == messages.c.message_id, attempts.c.attempt == messages.c.attempts)


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown:
    """One message in doubt, with what is known of its last attempt. Times are UTC and naive."""

    message_id: str
    campaign_id: str
    user_id: str
    attempt: int
    lease: int
    worker: str
    reason: str | None  # worker_lost, repeating, repeated; None when the channel itself could not tell
    raw_hash: str
    rcpt_to: str | None  # None once the person is erased
    raw: bytes | None
    detail: str | None  # what the other side said last
    transport: str | None
    started_at: datetime


def _last_words() -> sa.Label[Any]:
    """What was said last of the attempt in the same query."""
    said = attempt_outcomes
    return (
        sa.select(said.c.detail)
        .where(said.c.message_id == attempts.c.message_id, said.c.attempt == attempts.c.attempt)
        .order_by(said.c.seq.desc())
        .limit(1)
        .scalar_subquery()
        .label("detail")
    )


def list_unknown(connection: sa.Connection, source_pack: str | None) -> list[Unknown]:
    """Every message in `unknown`, the oldest attempt first."""
    query = (
        sa.select(
            messages.c.message_id,
            messages.c.campaign_id,
            messages.c.user_id,
            messages.c.attempts.label("attempt"),
            messages.c.lease,
            attempts.c.worker,
            messages.c.state_reason.label("reason"),
            attempts.c.raw_hash,
            attempt_evidence.c.rcpt_to,
            attempt_evidence.c.raw,
            _last_words(),
            attempts.c.transport,
            attempts.c.started_at,
        )
        .join_from(messages, attempts, _LAST)
        .outerjoin(
            attempt_evidence,
            sa.and_(
                attempt_evidence.c.message_id == attempts.c.message_id,
                attempt_evidence.c.attempt == attempts.c.attempt,
            ),
        )
        .where(messages.c.state == "unknown")
        .order_by(attempts.c.started_at, messages.c.message_id)
    )
    if source_pack is not None:
        query = query.where(messages.c.source_pack == source_pack)
    return [Unknown(*row) for row in connection.execute(query)]


def waiting_for(connection: sa.Connection) -> frozenset[str]:
    """Workers from which the ledger has yet to hear of a message: held, being sent, or in doubt since they were lost."""
    holders = sa.select(messages.c.lease_owner).where(messages.c.state.in_(("claimed", "sending")))
    doubted = sa.select(attempts.c.worker).join_from(messages, attempts, _LAST).where(messages.c.state == "unknown")
    return frozenset(filter(None, connection.execute(holders.union(doubted)).scalars()))


def settle(
    write: Write,
    settlements: Mapping[str, Settlement],
    actor: str,
    evidence: str,
    as_of: datetime,
    leases: Mapping[str, int] | None = None,
) -> int:
    """unknown → sent, rejected or approved again, on the word of `actor` and for the reason `evidence`; returns how many.

    A person's word: Refusal, with nothing changed, when one of them is not in doubt (any more), or is being repeated by key just
    now. Evidence of another kind, read before, names the `leases` for which it holds: what has moved on since is left as it is.
    """
    held = lock_messages(write, settlements)
    busy = being_repeated(write, held)
    if leases is not None:
        held = {
            key: one
            for key, one in held.items()
            if one.state == "unknown" and one.lease == leases[key] and key not in busy
        }
    moves: list[Move] = []
    told: list[dict[str, Any]] = []
    seq = write.next_seq()
    for key, one in held.items():
        word = settlements[key]
        if word not in _TO:
            raise InputError(f"settlement {word!r}; allowed: {', '.join(_TO)}")
        if one.state != "unknown":
            raise Refusal(f"message {key} is {one.state}, not unknown: there is nothing to settle")
        if key in busy:
            raise Refusal(f"message {key} is being repeated by its key at this moment: look again in some minutes")
        outcome: Outcome = "unknown" if word == "resend" else word
        salt = new_salt()
        row = {"message_id": key, "attempt": one.attempts, "detail": f"{actor}: {evidence}", "provider_id": None}
        payload = {"attempt": one.attempts, "outcome": outcome, "settled": word}
        payload |= {"commitment": commitment(salt, outcome_fields(row))}
        told.append(row | {"outcome": outcome, "salt": salt, "seq": seq + len(moves)})
        changes: dict[str, Any] = dict(NOT_HELD) | ({"sent_as_of": as_of} if word == "sent" else {"retry_at": None})
        moves.append(Move(one, _TO[word], "settled", reason=f"settled:{word}", changes=changes, payload=payload))
    move(write, moves, actor=actor, as_of=as_of)
    write_outcomes(write, told)
    return len(moves)


def settle_by_inbox(write: Write, as_of: datetime) -> int:
    """What was on its way into the in-app inbox is there or is not, and this database knows which: unknown → sent, or
    approved again; returns how many.

    The rows are locked before the look, as whoever puts locks them: a worker that was only late finds its message settled, and
    is refused. A message on any other way stays in doubt, for that it is not in the inbox says nothing of it.
    """
    by_inbox = sa.exists().where(
        attempts.c.message_id == messages.c.message_id,
        attempts.c.attempt == messages.c.attempts,
        attempts.c.worker.startswith(f"{IN_APP}:", autoescape=True),
    )
    doubtful = (messages.c.state == "unknown", by_inbox)
    if write.connection.execute(sa.select(messages.c.message_id).where(*doubtful).limit(1)).first() is None:
        return 0  # nearly always, at every renewal of every worker: nothing is locked for it
    held = [one.message_id for one in lock_where(write, *doubtful)]
    put = put_among(write.connection, held)
    words: dict[str, Settlement] = {key: "sent" if key in put else "not_sent" for key in held}
    return settle(write, words, "postrider", "by_inbox: this ledger has the event of every put", as_of)
