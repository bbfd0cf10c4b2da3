"""Messages in doubt, settled by the provider's own memory: the same request under the same key, and what it answers.

Nothing here needs patience with a database that is away: what could not be recorded stays in doubt and is asked again, which by its
key costs a request and never a mail.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from dagster_project.adapters.channels.base import Channel, Receipt
from dagster_project.lifecycle.errors import LostConnectionError
from dagster_project.lifecycle.flow import Way
from dagster_project.lifecycle.message import Outcome, Repeat, Result, Via
from dagster_project.lifecycle.mime import Built, rebuilt

# Of a key's documented lifetime this share is used: 10 of Brevo's 15 minutes, 16 of Resend's 24 hours. The rest is for the request's own
# way (100 s at most), for clocks that differ, and for a provider that rounds.
USED_OF_LIFETIME = 2 / 3
MOST_CLOCK_ERROR = timedelta(
    seconds=60
)  # two workers may be wrong in opposite directions: together less than Brevo's margin
AT_ONCE = 20
LEASE_SECONDS = 120.0  # what was not begun by then is left to another turn
TURN_SECONDS = 5.0  # between two looks while other mails go out
MAX_TIMES_DOWN = 3  # in a row: then the other side is left alone until the next look


class Switches(Protocol):
    """Kill and pauses as they stand at this moment."""

    def stopped(self) -> tuple[bool, frozenset[str]]: ...


class Ledger(Protocol):
    """What repeating asks of the ledger; each call is one transaction."""

    def begin_repeats(
        self,
        worker: str,
        limit: int,
        lease_seconds: float,
        usable: Mapping[str, timedelta],
        source_pack: str | None,
        as_of: datetime,
        way: Way | None = None,
        message_ids: Collection[str] | None = None,
    ) -> Sequence[Repeat]: ...
    def record_repeats(self, results: Sequence[Result], as_of: datetime) -> Sequence[str]: ...
    def clock_error(self) -> timedelta: ...


def usable(channel: Channel) -> dict[str, timedelta]:
    """transport → for how long after a message's first attempt its key is relied upon; of those that take keys."""
    return {
        via.transport: one.key_lifetime * USED_OF_LIFETIME
        for one in channel.transports
        if one.key_lifetime is not None and (via := one.via("m")) is not None
    }


class Repeats:
    """What one worker does about messages in doubt that its channel can ask about."""

    def __init__(
        self,
        ledger: Ledger,
        channel: Channel,
        switches: Switches,
        *,
        worker: str,
        clock: Callable[[], datetime],
        as_of: datetime,
        is_to_stop: Callable[[], object] = lambda: False,
        source_pack: str | None = None,
        way: Way | None = None,
    ) -> None:
        self._ledger, self._channel, self._switches = ledger, channel, switches
        self._worker, self._clock, self._as_of, self._is_to_stop = worker, clock, as_of, is_to_stop
        self._source_pack, self._way = source_pack, way
        self._usable = usable(channel)
        self._looked = float("-inf")
        self._tried: set[str] = set()
        self._times_down = 0
        self._is_clock_right = self._usable == {} or self._compare_clocks()
        self.outcomes: Counter[Outcome] = Counter()

    def trusted(self, via: Via | None) -> Via | None:
        """What to record of an attempt's way. By a clock that is wrong nobody could say later how old the key is: then without it."""
        return via if via is None or self._is_clock_right else Via(via.transport, None)

    def is_too_late(self, marked_at: datetime) -> bool:
        """Has this worker slept so long between a mail's mark and its send that somebody else may repeat it, by a key that may be
        forgotten by the time it goes on?"""
        return self._usable != {} and self._clock() - marked_at > timedelta(seconds=LEASE_SECONDS)

    def look(self, *, is_last: bool = False, message_ids: Collection[str] | None = None) -> None:
        """Repeat what is due: one group every few seconds, in the end or by name all there is."""
        if not self._usable or (not (is_last or message_ids) and time.monotonic() - self._looked < TURN_SECONDS):
            return
        self._looked = time.monotonic()
        with contextlib.suppress(LostConnectionError):
            self._is_clock_right = self._compare_clocks()
            named = None if message_ids is None else list(message_ids)
            while self._is_clock_right and not self._is_to_stop():
                now, named = (named[:AT_ONCE], named[AT_ONCE:]) if named is not None else (None, None)
                is_any = self._one_group(now)
                if not (named if named is not None else is_any and is_last):
                    return

    def _compare_clocks(self) -> bool:
        try:
            return abs(self._ledger.clock_error()) <= MOST_CLOCK_ERROR
        except LostConnectionError:
            return False  # until there is an answer

    def _one_group(self, message_ids: Sequence[str] | None) -> bool:
        """False when there was nothing to do, or the other side is down."""
        begun = self._ledger.begin_repeats(
            self._worker, AT_ONCE, LEASE_SECONDS, self._usable, self._source_pack, self._as_of, self._way, message_ids
        )
        receipts: dict[str, Receipt] = {}
        self._tried.clear()
        self._times_down = 0
        try:
            for transport in self._channel.transports:
                via = transport.via("m")
                mine = [one for one in begun if one.via.transport == (via and via.transport)]
                for mail, receipt in transport.transmit(self._one_by_one(mine)):
                    receipts[mail.message_id] = receipt
                    self._times_down = self._times_down + 1 if receipt.is_channel_down else 0
        finally:  # what was learned is recorded whatever interrupts the rest
            self._record(begun, receipts)
        return bool(begun) and self._times_down < MAX_TIMES_DOWN

    def _one_by_one(self, repeats: Sequence[Repeat]) -> Iterator[Built]:
        """The requests, each after a last look at the switches and at the clock."""
        for one in repeats:
            is_killed, paused = self._switches.stopped()
            if is_killed or self._is_to_stop() or self._times_down >= MAX_TIMES_DOWN or self._clock() >= one.until:
                return
            if one.campaign_id not in paused:
                self._tried.add(one.message_id)
                yield rebuilt(one.message_id, one.raw, one.mail_from, one.rcpt_to)

    def _record(self, begun: Sequence[Repeat], receipts: Mapping[str, Receipt]) -> None:
        """What each came to. One that was interrupted has no receipt: it is held until its lease is over."""
        results = [
            _result(one, receipts.get(one.message_id))
            for one in begun
            if one.message_id in receipts or one.message_id not in self._tried
        ]
        if results:
            foreign = self._ledger.record_repeats(results, self._as_of)
            self.outcomes.update(one.outcome for one in results if one.message_id not in foreign)


def _result(repeat: Repeat, receipt: Receipt | None) -> Result:
    """The other side's answer is the first request's as well. All else (no answer, a refusal before the key was looked at, one of our
    own) says nothing about that one."""
    if receipt is None:
        return Result(repeat.message_id, repeat.lease, "unknown", "not repeated: stopped before it was begun", None)
    if receipt.holds_for_key and receipt.outcome in ("sent", "rejected"):
        return Result(repeat.message_id, repeat.lease, receipt.outcome, receipt.detail, receipt.provider_id)
    detail = receipt.detail if receipt.outcome == "unknown" else f"{receipt.outcome}: {receipt.detail}"
    return Result(repeat.message_id, repeat.lease, "unknown", detail, None)
