"""What every channel promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

from dagster_project.lifecycle.message import Outcome
from dagster_project.lifecycle.mime import Built


@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    """What is known about one attempt after it.

    `not_sent`: certainly not accepted, may be tried again. `deferred`: refused for now. `rejected`: refused for good.
    `sent`: accepted. `unknown`: nobody can tell; it is never repeated by itself. `detail` has no address, no secret.
    """

    outcome: Outcome
    detail: str
    provider_id: str | None = None
    is_channel_down: bool = False  # the next message would fare no better


class Channel(Protocol):
    """A way out, opened by `with`. Entering raises InputError when it cannot work; after that trouble is an outcome."""

    @property
    def name(self) -> str: ...

    @property
    def in_flight(self) -> int:
        """How many messages may be committed to `sending` at once: after a crash, so many are `unknown` at most."""
        ...

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        """Try each once; what becomes of it as soon as it is known. Never raises for trouble in delivery.

        A mail is taken from `mails` only when its turn has come, so whoever gives them can stop at any of them.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
