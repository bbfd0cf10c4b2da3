"""Two ways out: what the first certainly did not send goes out by the second."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from dagster_project.adapters.channels.base import Channel, Receipt
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built


class FailoverChannel:
    """The first channel, and while it is down the second. A message in doubt, deferred or rejected is never given on: only one
    that is known not to have been sent. The first is asked again with every group of mails."""

    def __init__(self, first: Channel, second: Channel) -> None:
        self._first, self._second = first, second
        self._is_first_open = False
        self._first_trouble = ""

    @property
    def name(self) -> str:
        return self._first.name

    @property
    def in_flight(self) -> int:
        return min(self._first.in_flight, self._second.in_flight)

    @property
    def key_lifetime(self) -> None:
        return None

    @property
    def transports(self) -> tuple[Channel, ...]:
        """Both, but for a first one that could not be opened."""
        first = self._first.transports if not self._first_trouble else ()
        return (*first, *self._second.transports)

    def via(self, message_id: str) -> None:  # noqa: ARG002
        """Which of the two it was is known afterwards: each receipt says it."""
        return

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        waiting = iter(mails)
        if not self._is_first_open:
            yield from _marked(self._second, waiting)
            return
        is_down = False
        unsent: list[Built] = []

        def while_up() -> Iterator[Built]:
            for built in waiting:
                yield built
                if is_down:
                    return

        for built, receipt in _marked(self._first, while_up()):
            if receipt.outcome == "not_sent" and receipt.is_channel_down:
                is_down = True
                unsent.append(built)
            else:
                yield built, receipt
        if unsent:
            yield from _marked(self._second, itertools.chain(unsent, waiting))

    def __enter__(self) -> Self:
        """InputError only when neither can be opened."""
        try:
            self._first.__enter__()
            self._is_first_open = True
        except InputError as error:
            self._first_trouble = str(error)
        try:
            self._second.__enter__()
        except InputError as error:
            if self._is_first_open:
                self._first.__exit__(None, None, None)
            raise InputError("; and the backup: ".join(filter(None, (self._first_trouble, str(error))))) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._is_first_open:
                self._first.__exit__(kind, error, traceback)
        finally:
            self._is_first_open = False
            self._second.__exit__(kind, error, traceback)


def _marked(channel: Channel, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
    """Each with its receipt, which says by which of the two it was."""
    for built, receipt in channel.transmit(mails):
        yield built, dataclasses.replace(receipt, via=receipt.via or channel.via(built.message_id))
