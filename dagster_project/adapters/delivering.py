"""Delivering: claim, build, mark, send, record; one message after the other, until nothing is due.

The ledger is the fence. `mark_sending` commits before the channel sees a byte, so a crash at any line leaves a message
either claimable, with nothing sent, or in `sending`, which is never sent again without somebody's word.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar, get_args

from dagster_project.adapters.channels.base import Channel, Receipt
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Draft, Outcome, Result, Sending
from dagster_project.lifecycle.mime import Built, build, read_sender
from dagster_project.lifecycle.mime_encoding import BuildError

NOT_BEGUN = Receipt("not_sent", "stopped before it was begun")
LEASE_SECONDS = 900.0  # for a whole batch; a claim that outlives it is refused at the mark, so slowness costs only time
MAX_TIMES_DOWN = 3  # in a row: then the channel is left alone until the next tick


class MessageRow(Protocol):
    """What delivering reads of a message in the ledger."""

    @property
    def message_id(self) -> str: ...
    @property
    def email(self) -> str: ...


class Claim(Protocol):
    """One message held by this worker under a lease, with its approved draft."""

    @property
    def message(self) -> MessageRow: ...
    @property
    def draft(self) -> Draft: ...
    @property
    def lease(self) -> int: ...


C = TypeVar("C", bound=Claim)


class Ledger(Protocol[C]):
    """What delivering asks of the ledger; each call is one transaction."""

    def claim(self, worker: str, limit: int, lease_seconds: float, source_pack: str | None) -> Sequence[C]: ...
    def mark_sending(self, sends: Sequence[Sending], as_of: datetime) -> Mapping[str, str]: ...
    def record_outcomes(self, results: Sequence[Result], as_of: datetime) -> None: ...
    def release_claims(self, worker: str) -> int: ...
    def cancel(self, reasons: Mapping[str, str], run_id: str | None, as_of: datetime) -> int: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """What one call of `deliver` did, in messages. Whatever was looked at is counted in exactly one of the mappings."""

    outcomes: Mapping[Outcome, int]
    stopped: Mapping[str, int]  # by the ledger at the last look before sending: suppressed, paused, killed, …
    unbuildable: Mapping[str, int]  # by the builder's word; these are cancelled
    ended_by: str  # nothing_due, killed, channel_down, or a signal's name
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, one entry per outcome."""
        return {
            **{outcome: self.outcomes.get(outcome, 0) for outcome in get_args(Outcome)},
            "stopped": dict(self.stopped),
            "unbuildable": dict(self.unbuildable),
            "ended_by": self.ended_by,
            "seconds": self.seconds,
        }


def deliver(
    ledger: Ledger[C],
    channel: Channel,
    *,
    sender: str,
    sending_domain: str,
    worker: str,
    as_of: datetime,
    clock: Callable[[], datetime],
    source_pack: str | None = None,
    run_id: str | None = None,
    batch: int = 200,
    on_progress: Callable[[Counts], None] | None = None,
) -> Counts:
    """Send what the ledger has released (of this pack, or of all) through an open channel, each message at most once.

    Mails are dated `as_of`, so that the same message gives the same bytes. SIGINT and SIGTERM let the message in flight
    end, give the other claims back and are then raised again; a second one ends at once. Whatever ends the loop, claims
    that were not begun are given back. Raises InputError for a sender that cannot stand in a From header.
    """
    try:
        read_sender(sender)
    except BuildError:
        raise InputError(f"POSTRIDER_SENDER: found {sender!r}; allowed: Name <address> or address") from None
    work = _Work(ledger, channel, worker, as_of, clock)

    def built(claim: C) -> Built:
        draft = claim.draft
        return build(
            claim.message.message_id,
            sender=sender,
            to_address=claim.message.email,
            subject=draft.subject,
            html=draft.html,
            text=draft.text,
            unsubscribe_url=draft.unsubscribe_url,
            date=as_of,
            sending_domain=sending_domain,
        )

    with _stop_requests() as stop_request:
        try:
            for claims in work.claims(batch, source_pack):
                work.handle(claims, built, stop_request)
                if on_progress:
                    on_progress(work.counts())
                if work.ended_by:
                    break
        finally:
            ledger.release_claims(worker)
    if work.unbuildable:  # a claim cannot be cancelled: given back first
        ledger.cancel({key: f"unbuildable:{word}" for key, word in work.unbuildable.items()}, run_id, as_of)
    if (request := stop_request()) is not None:
        signal.raise_signal(request)
    return work.counts()


class _Work(Generic[C]):
    """One worker's loop: what it has seen, and what came of it."""

    def __init__(
        self, ledger: Ledger[C], channel: Channel, worker: str, as_of: datetime, clock: Callable[[], datetime]
    ) -> None:
        self._ledger, self._channel, self._worker, self._as_of, self._clock = ledger, channel, worker, as_of, clock
        self._started = clock()
        self._outcomes: Counter[Outcome] = Counter()
        self._stopped: Counter[str] = Counter()
        self._times_down = 0
        self.unbuildable: dict[str, str] = {}  # message_id -> the builder's word
        self.ended_by = ""

    def claims(self, batch: int, source_pack: str | None) -> Iterator[list[C]]:
        """Claims in groups as large as the channel lets be in flight. Each message comes once: what the ledger hands back
        in the same call would only fail the same way."""
        seen: set[str] = set()
        while True:
            claims = self._ledger.claim(self._worker, batch, LEASE_SECONDS, source_pack)
            fresh = [claim for claim in claims if claim.message.message_id not in seen]
            if not fresh:
                return
            seen.update(claim.message.message_id for claim in fresh)
            size = self._channel.in_flight
            yield from (fresh[start : start + size] for start in range(0, len(fresh), size))

    def handle(
        self, claims: Sequence[C], built: Callable[[C], Built], stop_request: Callable[[], signal.Signals | None]
    ) -> None:
        """One group from claims to recorded outcomes, or to the reasons why they were not sent.

        A request to stop lets the send in flight end; the rest of the group is recorded as not sent.
        """
        mails = self._build(claims, built)
        sends = [
            Sending(key, claim.lease, claim.draft.draft_hash, mail.raw, mail.mail_from, mail.rcpt_to)
            for key, (claim, mail) in mails.items()
        ]
        if (request := stop_request()) is not None:
            self.ended_by = request.name
        if not sends or self.ended_by:
            return
        obstacles = self._ledger.mark_sending(sends, self._as_of)
        self._stopped.update(obstacles.values())
        if "killed" in obstacles.values():
            self.ended_by = "killed"
        results: list[Result] = []
        try:
            for key, (claim, mail) in mails.items():
                if key in obstacles:
                    continue
                if (request := stop_request()) is not None:
                    self.ended_by = request.name
                receipt = NOT_BEGUN if self.ended_by else self._channel.send(mail)
                results.append(Result(key, claim.lease, receipt.outcome, receipt.detail, receipt.provider_id))
                self._outcomes[receipt.outcome] += 1
                self._times_down = self._times_down + 1 if receipt.is_channel_down else 0
                if self._times_down == MAX_TIMES_DOWN:
                    self.ended_by = "channel_down"
        finally:  # what was sent is recorded whatever interrupts the rest
            if results:
                self._ledger.record_outcomes(results, self._as_of)

    def _build(self, claims: Sequence[C], built: Callable[[C], Built]) -> dict[str, tuple[C, Built]]:
        """message_id → claim and bytes; what can't be built is remembered with the builder's word."""
        mails: dict[str, tuple[C, Built]] = {}
        for claim in claims:
            try:
                mails[claim.message.message_id] = (claim, built(claim))
            except BuildError as error:
                self.unbuildable[claim.message.message_id] = error.word
        return mails

    def counts(self) -> Counts:
        return Counts(
            dict(self._outcomes),
            dict(self._stopped),
            dict(Counter(self.unbuildable.values())),
            self.ended_by or "nothing_due",
            (self._clock() - self._started).total_seconds(),
        )


@contextlib.contextmanager
def _stop_requests() -> Iterator[Callable[[], signal.Signals | None]]:
    """Yields a question: which signal has asked for the end? Handlers are put back on leaving.

    Only the main thread gets signals; elsewhere the answer is always None and whoever owns the thread decides.
    """
    asked: list[signal.Signals] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signal.Signals(number))

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, previous in before.items():
            signal.signal(number, previous if previous is not None else signal.SIG_DFL)
