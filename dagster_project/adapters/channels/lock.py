"""The environment lock: outside production, a transport reaches only those who agreed to be reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Self

from dagster_project.adapters.channels.base import Channel, Receipt
from dagster_project.lifecycle.address import ascii_domain, canonical, is_valid
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built


@dataclasses.dataclass(frozen=True, slots=True)
class AllowList:
    """Who may be mailed: whole addresses and whole domains, in canonical form. Empty means nobody."""

    addresses: frozenset[str]
    domains: frozenset[str]

    def __contains__(self, address: str) -> bool:
        name = canonical(address)
        local, _, domain = name.rpartition("@")
        return name in self.addresses or (bool(local) and domain in self.domains)


def read_allow_list(listed: str) -> AllowList:
    """Read `ada@customer.example, @test.example`. A domain is without its subdomains. InputError for other words."""
    addresses, domains = set(), set()
    for entry in filter(None, map(str.strip, listed.split(","))):
        domain = ascii_domain(entry[1:]) if entry.startswith("@") else None
        if domain is not None:
            domains.add(domain)
        elif is_valid(entry):
            addresses.add(canonical(entry))
        else:
            raise InputError(f"POSTRIDER_ALLOW_LIST: found {entry!r}; allowed: addresses or @domains, comma-separated")
    return AllowList(frozenset(addresses), frozenset(domains))


class LockedChannel:
    """A channel behind the lock. It looks at the envelope, which is where mail goes, whatever the headers say."""

    def __init__(self, channel: Channel, allow_list: AllowList) -> None:
        self._channel = channel
        self._allow_list = allow_list

    @property
    def name(self) -> str:
        return self._channel.name

    @property
    def in_flight(self) -> int:
        return self._channel.in_flight

    @property
    def key_lifetime(self) -> timedelta | None:
        return self._channel.key_lifetime

    @property
    def transports(self) -> tuple[LockedChannel, ...]:
        return tuple([LockedChannel(one, self._allow_list) for one in self._channel.transports])

    def via(self, message_id: str) -> Via | None:
        return self._channel.via(message_id)

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        refused: list[Built] = []

        def allowed() -> Iterator[Built]:
            for built in mails:
                if built.rcpt_to in self._allow_list:
                    yield built
                else:
                    refused.append(built)

        yield from self._channel.transmit(allowed())
        yield from ((built, Receipt("rejected", "not_on_allow_list")) for built in refused)

    def __enter__(self) -> Self:
        self._channel.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._channel.__exit__(kind, error, traceback)
