"""Delivering: claim, build, sign, mark, send, record, until nothing is due.

The ledger is the fence. A turn marks a group `sending` and commits before the channel sees a byte of it, so a crash at any line
leaves a message either claimable, with nothing sent, or in `sending`, which is never sent again without somebody's word.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, get_args

from dagster_project.adapters.channels.base import Channel, Receipt
from dagster_project.adapters.interruptions import patiently, stop_requests
from dagster_project.adapters.letterhead import Claim, Letterhead
from dagster_project.adapters.notes import Note, noting, what_is_known
from dagster_project.adapters.repeating import Ledger as RepeatingLedger
from dagster_project.adapters.repeating import Repeats
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Way
from dagster_project.lifecycle.message import REFUSED, Outcome, Result, Sending
from dagster_project.lifecycle.mime import Built, read_sender
from dagster_project.lifecycle.mime_encoding import BuildError

LEASE_SECONDS = 120.0  # renewed while the worker lives; past it its claims are free and its sends in doubt
RENEW_SECONDS = 30.0
MAX_TIMES_DOWN = 3  # in a row: then the channel is left alone until the next tick
LONGEST_THROTTLE_SECONDS = 90.0  # limits by the second and the minute are waited for, those by the hour are not
LOOK_SECONDS = 0.25  # between two looks for a signal while waiting


class Doubt(Protocol):
    """A message of which nobody knows whether it went out."""

    @property
    def message_id(self) -> str: ...
    @property
    def lease(self) -> int: ...
    @property
    def worker(self) -> str: ...
    @property
    def reason(self) -> str | None: ...


class Watch(Protocol):
    """The switches as they stand at this moment."""

    def stopped(self) -> tuple[bool, frozenset[str]]: ...


C = TypeVar("C", bound=Claim)
C_co = TypeVar("C_co", bound=Claim, covariant=True)


class Turn(Protocol[C_co]):
    """What the ledger says to a worker's turn: why some of its sends must not go out, and what it holds for the next turn."""

    @property
    def obstacles(self) -> Mapping[str, str]: ...
    @property
    def claims(self) -> Sequence[C_co]: ...


class Ledger(RepeatingLedger, Protocol[C_co]):
    """What delivering asks of the ledger; each call is one transaction, and asking again after a lost connection is safe."""

    def turn(
        self,
        worker: str,
        results: Sequence[Result],
        sends: Sequence[Sending],
        as_of: datetime,
        limit: int,
        lease_seconds: float,
        source_pack: str | None,
        way: Way | None,
        is_again: bool,
    ) -> Turn[C_co]: ...
    def throttled_until(self, source_pack: str | None, way: Way) -> datetime | None: ...
    def record_outcomes(self, results: Sequence[Result], as_of: datetime, way: Way | None) -> Sequence[str]: ...
    def extend_claims(self, worker: str, lease_seconds: float) -> int: ...
    def unknown(self, source_pack: str | None) -> Sequence[Doubt]: ...
    def settle(
        self,
        settlements: Mapping[str, Any],
        actor: str,
        evidence: str,
        as_of: datetime,
        leases: Mapping[str, int] | None = None,
    ) -> int: ...
    def settle_by_inbox(self, as_of: datetime) -> int: ...
    def release_claims(self, worker: str) -> int: ...
    def cancel(self, reasons: Mapping[str, str], run_id: str | None, as_of: datetime) -> int: ...
    def watch(self) -> contextlib.AbstractContextManager[Watch]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """What one call of `deliver` did, in messages. Whatever was looked at is counted in exactly one of the mappings."""

    outcomes: Mapping[Outcome, int]
    stopped: Mapping[str, int]  # by the ledger at the last look before sending: suppressed, paused, killed, …
    unbuildable: Mapping[str, int]  # by the builder's word; these are cancelled
    ended_by: str  # nothing_due, throttled, killed, channel_down, orphaned, or a signal's name
    seconds: float
    by_key: Mapping[Outcome, int] = dataclasses.field(default_factory=dict)  # of those in doubt; `unknown` still are

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, one entry per outcome."""
        return {
            **{outcome: self.outcomes.get(outcome, 0) for outcome in get_args(Outcome)},
            "stopped": dict(self.stopped),
            "unbuildable": dict(self.unbuildable),
            "ended_by": self.ended_by,
            "seconds": self.seconds,
            "by_key": dict(self.by_key),
        }


def deliver(
    ledger: Ledger[C],
    channel: Channel,
    letterhead: Letterhead,
    *,
    worker: str,
    clock: Callable[[], datetime],
    source_pack: str | None = None,
    way: Way | None = None,
    run_id: str | None = None,
    notes: Path | None = None,
    on_progress: Callable[[Counts], None] | None = None,
    is_orphaned: Callable[[], bool] = lambda: False,
) -> Counts:
    """Send what the ledger has released (of this pack, or of all) through an open channel, each message at most once. Messages in
    doubt that went by a transport of this channel are settled by their keys, where it takes keys.

    `worker` is this process's own name: no other may use it. SIGINT and SIGTERM let the messages in flight end, give the other
    claims back and are then raised again; a second one ends at once. So does `is_orphaned`, without a signal. Whatever ends
    the loop, claims that were not begun are given back. `way` names the limits to obey; one that opens again within a minute and
    a half is waited for. `notes` is a folder of this machine where workers say how far they have come; with it only what a killed one
    had on its way stays in doubt. Raises InputError for a sender that cannot stand in a From header.
    """
    try:
        read_sender(letterhead.sender)
    except BuildError:
        raise InputError(f"POSTRIDER_SENDER: found {letterhead.sender!r}; allowed: Name <address> or address") from None
    as_of = letterhead.as_of
    note = noting(notes, worker) if notes is not None else contextlib.nullcontext()
    with ledger.watch() as watch, stop_requests(is_orphaned) as stop_request, note as kept:
        repeats = Repeats(
            ledger,
            channel,
            watch,
            worker=worker,
            clock=clock,
            as_of=as_of,
            is_to_stop=stop_request,
            source_pack=source_pack,
            way=way,
        )
        work = _Work(
            ledger, channel, watch, letterhead, worker, clock, stop_request, source_pack, way, notes, kept, repeats
        )
        try:
            while work.take_turn():
                repeats.look()
                if on_progress:
                    on_progress(work.counts())
            if not work.ended_by:
                repeats.look(is_last=True)
                work.ended_by = stop_request()
        finally:
            work.record()
            patiently(lambda: ledger.release_claims(worker))
    if work.unbuildable:  # a claim cannot be cancelled: given back first
        reasons = {key: f"unbuildable:{word}" for key, word in work.unbuildable.items()}
        patiently(lambda: ledger.cancel(reasons, run_id, as_of))
    if work.ended_by in signal.Signals.__members__:
        signal.raise_signal(signal.Signals[work.ended_by])
    return work.counts()


class _Work(Generic[C]):
    """One worker's loop: what it holds, what it has seen, and what came of it."""

    def __init__(
        self,
        ledger: Ledger[C],
        channel: Channel,
        watch: Watch,
        letterhead: Letterhead,
        worker: str,
        clock: Callable[[], datetime],
        stop_request: Callable[[], str],
        source_pack: str | None,
        way: Way | None,
        notes: Path | None,
        note: Note | None,
        repeats: Repeats,
    ) -> None:
        self._ledger, self._channel, self._watch, self._letterhead = ledger, channel, watch, letterhead
        self._worker, self._clock, self._stop_request = worker, clock, stop_request
        self._source_pack, self._way, self._notes, self._note = source_pack, way, notes, note
        self._repeats = repeats
        self._started = clock()
        self._renewed = 0.0
        self._claims: Sequence[C] = ()  # for the next turn
        self._results: list[Result] = []  # of the last one, which the next tells the ledger
        self._seen: set[str] = set()
        self._outcomes: Counter[Outcome] = Counter()
        self._stopped: Counter[str] = Counter()
        self._times_down = 0
        self.unbuildable: dict[str, str] = {}  # message_id -> the builder's word
        self.ended_by = ""

    def take_turn(self) -> bool:
        """One transaction and one group of mails: tell what became of the last group, commit to what is held now, claim the next;
        then send. False when this was the last."""
        self._renew()
        mails = self._build(self._claims)
        self.ended_by = self.ended_by or self._stop_request()
        if self.ended_by:
            return False
        sends = [
            Sending(
                key,
                claim.lease,
                claim.draft.draft_hash,
                mail.raw,
                mail.mail_from,
                mail.rcpt_to,
                self._repeats.trusted(self._channel.via(key)),
            )
            for key, (claim, mail) in mails.items()
        ]
        marked_at = self._clock()
        tries = 0

        def ask() -> Turn[C]:
            nonlocal tries
            tries += 1
            return self._ledger.turn(
                self._worker,
                self._results,
                sends,
                self._letterhead.as_of,
                self._channel.in_flight,
                LEASE_SECONDS,
                self._source_pack,
                self._way,
                tries > 1,
            )

        turn = patiently(ask)
        self._results = []
        self._stopped.update(turn.obstacles.values())
        if "killed" in turn.obstacles.values():
            self.ended_by = "killed"
        if tries > 1:
            self._tell_not_begun(
                {key: claim for key, (claim, _) in mails.items() if turn.obstacles.get(key) == REFUSED}
            )
        self._send({key: pair for key, pair in mails.items() if key not in turn.obstacles}, marked_at)
        # Each message comes once: what the ledger hands back in the same call would only fail the same way.
        self._claims = [claim for claim in turn.claims if claim.message.message_id not in self._seen]
        self._seen.update(claim.message.message_id for claim in self._claims)
        if self._claims or self._results:
            return True
        return not turn.claims and self._is_worth_waiting()

    def _is_worth_waiting(self) -> bool:
        """Sleep where a limit opens again soon. What waits for longer is left to the next tick, or to a worker that watches."""
        if self._way is None:
            return False
        way = self._way
        opens_at = patiently(lambda: self._ledger.throttled_until(self._source_pack, way))
        if opens_at is None:
            return False
        pause = (opens_at - self._clock()).total_seconds()
        if pause > LONGEST_THROTTLE_SECONDS:
            self.ended_by = "throttled"
            return False
        time.sleep(min(max(pause, 0.01), LOOK_SECONDS))
        return True

    def _renew(self) -> None:
        """Say that this worker lives, and give up the sends of those that don't."""
        if time.monotonic() - self._renewed >= RENEW_SECONDS:
            lost = patiently(lambda: self._ledger.extend_claims(self._worker, LEASE_SECONDS))
            self._renewed = time.monotonic()
            patiently(lambda: self._ledger.settle_by_inbox(self._letterhead.as_of))
            if lost and (notes := self._notes) is not None:
                patiently(lambda: settle_by_notes(self._ledger, notes, self._letterhead.as_of))

    def _tell_not_begun(self, refused: Mapping[str, C]) -> None:
        """The first try may have marked them, and while the database was away another worker gave them up for lost: in doubt, though
        this one knows that no byte of them went out. What has passed into other hands is not this worker's to tell, and is left."""
        via = self._repeats.trusted(None)
        self._results += [
            Result(
                key, claim.lease, "not_sent", "given up for lost before it was begun", None, via, may_go_at_once=True
            )
            for key, claim in refused.items()
        ]

    def _send(self, marked: Mapping[str, tuple[C, Built]], marked_at: datetime) -> None:
        """What was sent is told to the ledger whatever interrupts the rest."""
        receipts: dict[str, Receipt] = {}
        begun: set[str] = set()
        try:
            for mail, receipt in self._channel.transmit(self._one_by_one(marked, begun, marked_at)):
                receipts[mail.message_id] = receipt
                if self._note is not None:
                    self._note.end(mail.message_id, receipt.outcome)
                self._times_down = self._times_down + 1 if receipt.is_channel_down else 0
                if self._times_down == MAX_TIMES_DOWN:
                    self.ended_by = "channel_down"
        finally:
            for key, (claim, _) in marked.items():
                receipt = receipts.get(key)
                if receipt is None and key in begun:
                    continue  # in flight for ever: it stays in `sending`
                # A worker that is stopped has marked up to 64 mails of which nobody is to wait a minute; a way that is down is
                # left alone for that minute.
                is_free = receipt is None and self.ended_by != "channel_down"
                receipt = receipt or Receipt("not_sent", "stopped before it was begun")
                via = self._repeats.trusted(receipt.via)
                self._results.append(
                    Result(key, claim.lease, receipt.outcome, receipt.detail, receipt.provider_id, via, is_free)
                )
                self._outcomes[receipt.outcome] += 1

    def _one_by_one(
        self, marked: Mapping[str, tuple[C, Built]], begun: set[str], marked_at: datetime
    ) -> Iterator[Built]:
        """The mails, each after a last look at the switches."""
        for key, (claim, mail) in marked.items():
            self.ended_by = self.ended_by or self._stop_request()
            is_killed, paused = patiently(self._watch.stopped)
            if is_killed:
                self.ended_by = self.ended_by or "killed"
            if self.ended_by or self._repeats.is_too_late(marked_at):
                return
            if claim.message.campaign_id not in paused:
                begun.add(key)
                if self._note is not None:
                    self._note.begin(key)
                yield mail

    def record(self) -> None:
        """Tell what became of the last group, where no turn has."""
        if self._results:
            results, self._results = self._results, []
            patiently(lambda: self._ledger.record_outcomes(results, self._letterhead.as_of, self._way))

    def _build(self, claims: Sequence[C]) -> dict[str, tuple[C, Built]]:
        """message_id → claim and bytes; what can't be built is remembered with the builder's word."""
        mails: dict[str, tuple[C, Built]] = {}
        now = self._clock()
        for claim in claims:
            try:
                mails[claim.message.message_id] = (claim, self._letterhead.mail(claim, now))
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
            dict(self._repeats.outcomes),
        )


def settle_by_notes(ledger: Ledger[Any], notes: Path, as_of: datetime) -> dict[str, int]:
    """What lost workers of this machine noted settles their messages: how many were sent, rejected, not sent."""
    doubtful = [one for one in ledger.unknown(None) if one.reason == "worker_lost"]
    known = what_is_known(notes, [(one.message_id, one.worker) for one in doubtful])
    if known:
        leases = {one.message_id: one.lease for one in doubtful}
        ledger.settle(known, "postrider", "as its worker noted before it was lost", as_of, leases)
    return dict(Counter(known.values()))
