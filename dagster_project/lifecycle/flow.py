"""How fast, how many and how long: limits, warm-up, canary and breakers, as `delivery.yml` sets them. No I/O.

The defaults are those of the project's reference on stopping a bad audience; the file is only needed where one should differ.
"""

from __future__ import annotations

import dataclasses
import math
import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dagster_project.lifecycle.address import ascii_domain
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.strict import StrictModel, parse_strictly

Period = Literal["second", "minute", "hour", "day"]
PERIODS: dict[Period, timedelta] = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
EVERY_OTHER = "*"  # each recipient domain that has no line of its own
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
Z_95 = 1.959964  # two-sided 95 % of the normal distribution


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` messages of this scope in each `period`."""

    scope: str
    period: Period
    most: int


def _rate(found: object) -> tuple[int, str]:
    match = _RATE.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        raise ValueError("allowed is <count>/second, /minute, /hour or /day")
    return int(match[1]), match[2]


def _domain(found: object) -> str:
    domain = ascii_domain(found) if isinstance(found, str) and found != EVERY_OTHER else found
    if not isinstance(domain, str):
        raise ValueError('allowed is a domain such as gmail.com, or "*" for each other one')  # noqa: TRY004 - pydantic's way
    return domain


Rate = Annotated[tuple[int, Period], BeforeValidator(_rate)]
Domain = Annotated[str, BeforeValidator(_domain)]


class WarmUp(StrictModel):
    """A new sending domain is trusted step by step: so many a day to a recipient domain, day by day from `starts`."""

    sending_domain: Domain = Field(description="a domain. Whose mails are counted")
    recipient_domain: Domain = Field(description='a domain, or "*". To whom')
    starts: date = Field(description="a date such as 2026-11-01. The first day")
    per_day: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        min_length=1, description="a list of counts, 0 or more. One for each day; after the last there is no limit"
    )


class Canary(StrictModel):
    """The first messages of a campaign's release go out alone; the others follow when these did no harm."""

    least: int = Field(default=50, ge=1, description="a count of 1 or more. So many go first at least")
    share: float = Field(default=0.01, gt=0, le=1, description="a number above 0 up to 1. Or this share, if it is more")
    wait_minutes: float = Field(default=30, gt=0, description="minutes above 0. How long they are watched")
    most_rejected: float = Field(
        default=0.02, ge=0, le=1, description="a number from 0 to 1. Share that may be rejected"
    )

    def size(self, audience: int) -> int | None:
        """How many go first; None when that is everybody."""
        size = max(self.least, math.ceil(self.share * audience))
        return size if size < audience else None


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """What became of the messages of one scope lately. `failures_in_a_row`: refusals since the last success."""

    sent: int = 0
    rejected: int = 0
    deferred: int = 0
    unknown: int = 0
    complained: int = 0
    failures_in_a_row: int = 0


class Breakers(StrictModel):
    """When a campaign is paused, or a recipient domain left alone, without anybody being asked."""

    from_messages: int = Field(default=200, ge=1, description="a count of 1 or more. Shares are judged from here on")
    most_rejected: float = Field(default=0.05, ge=0, le=1, description="a number from 0 to 1. Share of hard rejections")
    most_rejected_surely: float = Field(
        default=0.02, ge=0, le=1, description="a number from 0 to 1. The same, by the lower end of its 95 % interval"
    )
    most_complained: float = Field(default=0.001, ge=0, le=1, description="a number from 0 to 1. Share of complaints")
    most_unknown: float = Field(default=0.005, ge=0, le=1, description="a number from 0 to 1. Share in doubt")
    most_failures_in_a_row: int = Field(
        default=50, ge=1, description="a count of 1 or more. Refusals one after the other"
    )
    domain_rests_minutes: float = Field(
        default=60, gt=0, description="minutes above 0. How long a domain is left alone"
    )

    def trip(self, tally: Tally) -> str | None:
        """Why these must stop, in a sentence's half with its figures; None while all is well."""
        if tally.failures_in_a_row >= self.most_failures_in_a_row:
            return f"{tally.failures_in_a_row} refusals in a row"
        tried = tally.sent + tally.rejected + tally.unknown
        if tried < self.from_messages:
            return None
        shares = (
            (tally.rejected / tried >= self.most_rejected, tally.rejected, "rejected"),
            (lower_bound(tally.rejected, tried) > self.most_rejected_surely, tally.rejected, "rejected"),
            (tally.complained / tried >= self.most_complained and tally.complained > 0, tally.complained, "complained"),
            (tally.unknown / tried >= self.most_unknown and tally.unknown > 0, tally.unknown, "in doubt"),
        )
        return next((f"{count} of {tried} {word}" for is_over, count, word in shares if is_over), None)


def lower_bound(hits: int, of: int) -> float:
    """The lower end of Wilson's 95 % interval for a share (Wilson 1927)."""
    if hits == 0:  # also where rounding would leave something above zero
        return 0.0
    share = hits / of
    middle = share + Z_95**2 / (2 * of)
    spread = Z_95 * math.sqrt(share * (1 - share) / of + Z_95**2 / (4 * of**2))
    return max(0.0, (middle - spread) / (1 + Z_95**2 / of))


class Flow(StrictModel):
    """`delivery.yml`, whole."""

    channels: dict[str, Rate] = Field(default={}, description="a mapping of channel to rate. For each way out")
    domains: dict[Domain, Rate] = Field(
        default={}, description='a mapping of recipient domain, or "*" for each other one, to rate'
    )
    warm_up: tuple[WarmUp, ...] = Field(default=(), description="a list of warm-up rows")
    canary: Canary | None = Field(default=Canary(), description="a mapping, or null. Null: everybody at once")
    breakers: Breakers = Field(default=Breakers(), description="a mapping")

    def limits(self, channel: str, sending_domain: str, recipient_domain: str, today: date) -> tuple[Limit, ...]:
        """Every limit that one more message to this domain would count against."""
        found = []
        if channel in self.channels:
            most, period = self.channels[channel]
            found.append(Limit(f"channel:{channel}", period, most))
        rate = self.domains.get(recipient_domain, self.domains.get(EVERY_OTHER))
        if rate is not None:
            most, period = rate
            found.append(Limit(f"domain:{recipient_domain}", period, most))
        row = self._warm_up(sending_domain, recipient_domain)
        day = (today - row.starts).days if row else -1
        if row is not None and day < len(row.per_day):
            most = row.per_day[day] if day >= 0 else 0  # before its first day a domain sends nothing
            found.append(Limit(f"warm_up:{sending_domain}:{recipient_domain}", "day", most))
        return tuple(found)

    def _warm_up(self, sending_domain: str, recipient_domain: str) -> WarmUp | None:
        rows = {row.recipient_domain: row for row in self.warm_up if row.sending_domain == sending_domain}
        return rows.get(recipient_domain) or rows.get(EVERY_OTHER)


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One way out and its flow: what the ledger shares among all workers that use it."""

    flow: Flow
    channel: str
    sending_domain: str

    def limits(self, recipient_domain: str, today: date) -> tuple[Limit, ...]:
        return self.flow.limits(self.channel, self.sending_domain, recipient_domain, today)


def parse_flow(raw: object, file: str) -> Flow:
    """The flow in `raw`, as YAML gave it; nothing means the defaults. InputError: file, key, found, allowed."""
    if raw is not None and not isinstance(raw, dict):
        raise InputError(f"{file}: found {type(raw).__name__}, allowed is a mapping of {', '.join(Flow.model_fields)}")
    known: Any = raw or {}
    return parse_strictly(Flow, known, file, "delivery")
