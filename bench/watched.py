"""A home whose ledger, builder and channel are timed from outside. The delivery loop itself is the real one."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from bench.mails import Stopwatch
from dagster_project.adapters.channels.base import Channel, Receipt
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.home import Home
from dagster_project.lifecycle.mime import Built
from dagster_project.mailing import Mailing
from dagster_project.settings import Settings


class WatchedHome(Home):
    """`stopwatch` has the seconds of every method of the ledger, of `look` (the switches), `mail` (build and sign), `send`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.stopwatch = Stopwatch()

    def ledger(self) -> Any:
        return _WatchedLedger(super().ledger(), self.stopwatch)

    def channel(self, as_of: datetime, ledger: Any = None) -> Channel:
        return _WatchedChannel(super().channel(as_of, ledger), self.stopwatch)

    @cached_property
    def mailing(self) -> Mailing:
        return _WatchedMailing(self.settings, self.stopwatch)


class _WatchedLedger:
    def __init__(self, ledger: Any, stopwatch: Stopwatch) -> None:
        self._ledger, self._stopwatch = ledger, stopwatch

    def __enter__(self) -> Self:
        self._ledger.__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        self._ledger.__exit__(*ended)

    @contextlib.contextmanager
    def watch(self) -> Iterator[Any]:
        with self._ledger.watch() as watch:
            look, stopwatch = watch.stopped, self._stopwatch

            class Watched:
                def stopped(self) -> tuple[bool, frozenset[str]]:
                    with stopwatch.on("look"):
                        return look()

            yield Watched()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self._stopwatch.on(name):
                return method(*arguments, **named)

        setattr(self, name, timed)
        return timed


class _WatchedMailing(Mailing):
    def __init__(self, settings: Settings, stopwatch: Stopwatch) -> None:
        super().__init__(settings)
        self._stopwatch = stopwatch

    def letterhead(self, as_of: datetime) -> Letterhead:
        plain = super().letterhead(as_of)
        values = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
        return _WatchedLetterhead(self._stopwatch, **values)


class _WatchedLetterhead(Letterhead):
    __slots__ = ("_stopwatch",)

    def __init__(self, stopwatch: Stopwatch, **values: Any) -> None:
        super().__init__(**values)
        object.__setattr__(self, "_stopwatch", stopwatch)  # a letterhead is frozen

    def mail(self, claim: Any, now: datetime) -> Built:
        with self._stopwatch.on("mail"):
            return super().mail(claim, now)


class _WatchedChannel:
    """Takes from the time of `transmit` what passes while it waits for the next mail."""

    def __init__(self, channel: Channel, stopwatch: Stopwatch) -> None:
        self._channel, self._stopwatch = channel, stopwatch
        self._waited = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    @property
    def name(self) -> str:
        return self._channel.name

    @property
    def in_flight(self) -> int:
        return self._channel.in_flight

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        sending = self._channel.transmit(self._given(mails))
        while True:
            started, waited = time.perf_counter(), self._waited
            pair = next(sending, None)
            spent = time.perf_counter() - started - (self._waited - waited)
            self._stopwatch.seconds["send"] = self._stopwatch.seconds.get("send", 0.0) + spent
            if pair is None:
                return
            yield pair

    def _given(self, mails: Iterable[Built]) -> Iterator[Built]:
        source = iter(mails)
        while True:
            started = time.perf_counter()
            mail = next(source, None)
            self._waited += time.perf_counter() - started
            if mail is None:
                return
            yield mail

    def __enter__(self) -> Self:
        self._channel.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._channel.__exit__(kind, error, traceback)
