"""What every channel promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from dagster_project.lifecycle.message import Outcome, Via, content_hash
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
    # The other side's own word on this message and its key: it settles an earlier request under that key as well. A refusal
    # of ours, or one that comes before the key is looked up, does not.
    holds_for_key: bool = False
    via: Via | None = None  # which transport it was, of a channel with several


class Channel(Protocol):
    """A way out, opened by `with`. Entering raises InputError when it cannot work; after that trouble is an outcome."""

    @property
    def name(self) -> str: ...

    @property
    def in_flight(self) -> int:
        """How many messages may be committed to `sending` at once: after a crash, so many are `unknown` at most."""
        ...

    @property
    def key_lifetime(self) -> timedelta | None:
        """How long the other side remembers a message's key, counted from the first attempt, and answers the same request
        under it with the first one's result. None: it takes no keys, or there are several transports."""
        ...

    @property
    def transports(self) -> Sequence[Channel]:
        """The single ways out behind this one: itself, unless it has several."""
        ...

    def via(self, message_id: str) -> Via | None:
        """How this message would go. None: of several transports, and only the receipt says which."""
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


class SingleTransport:
    """What a channel says that is one transport, and takes no keys unless it says so."""

    @property
    def key_lifetime(self) -> timedelta | None:
        return None

    @property
    def transports(self) -> tuple[Self, ...]:
        return (self,)


DIGITS = 8  # 32 bits: enough to notice another account or URL, too few to find a secret by


def transport_of(name: str, **identity: object) -> str:
    """The name of a transport that takes keys: other credentials, another URL or another form of key is another transport.
    Of what may be secret in it only so many digits of a hash are kept."""
    return f"{name}:{content_hash(identity)[:DIGITS]}"
