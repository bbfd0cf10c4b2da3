"""Two ways out: what the first certainly did not send goes out by the second."""

from __future__ import annotations

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

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        waiting = iter(mails)
        if not self._is_first_open:
            yield from self._second.transmit(waiting)
            return
        is_down = False
        unsent: list[Built] = []

        def while_up() -> Iterator[Built]:
            for built in waiting:
                yield built
                if is_down:
                    return

        for built, receipt in self._first.transmit(while_up()):
            if receipt.outcome == "not_sent" and receipt.is_channel_down:
                is_down = True
                unsent.append(built)
            else:
                yield built, receipt
        if unsent:
            yield from self._second.transmit(itertools.chain(unsent, waiting))

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
