"""Two arms of a canary beside each other: rates with intervals, their difference, and how many more it takes. Pure.

What was drawn is the pattern, not the person: everybody who shares one reads the same words. So texts are counted by patterns, and
what people did is counted by messages whose spread is that of their patterns.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Protocol

from dagster_project.lifecycle.prompt_canary import CANARY, STANDING, fate_of

SIDE = NormalDist().inv_cdf(0.975)  # of an interval that holds the truth 19 times of 20
POWER = NormalDist().inv_cdf(0.8)  # a difference that is there is found four times of five
_PLACES = 4


class Message(Protocol):
    """One message of a trial; see `ledger.rows.Tried`."""

    @property
    def trial(self) -> Mapping[str, Any]: ...
    @property
    def fallback_reason(self) -> str | None: ...
    @property
    def caution(self) -> str | None: ...
    @property
    def verdict(self) -> str | None: ...
    @property
    def is_sent(self) -> bool: ...
    @property
    def was_read(self) -> bool | None: ...
    @property
    def reasons(self) -> Sequence[str]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """`part` of `whole`, as if `effective` of them had been drawn by themselves."""

    part: int
    whole: int
    effective: float

    @property
    def share(self) -> float:
        return self.part / self.whole if self.whole else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, which stays within 0 and 1 and says something also where nothing has happened."""
        return wilson(self.share, self.effective)

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "part": self.part,
            "whole": self.whole,
            "share": round(self.share, _PLACES) if self.whole else None,
            "interval": [round(low, _PLACES), round(high, _PLACES)],
        }


def wilson(share: float, number: float) -> tuple[float, float]:
    """The interval of a share that was found among so many; (0, 1) for none."""
    if number <= 0:
        return 0.0, 1.0
    middle = share + SIDE**2 / (2 * number)
    spread = SIDE * math.sqrt(share * (1 - share) / number + SIDE**2 / (4 * number**2))
    whole = 1 + SIDE**2 / number
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def difference(canary: Rate, standing: Rate) -> dict[str, Any] | None:
    """Canary less standing, with Newcombe's interval of two of Wilson's. None where an arm has nothing."""
    if not canary.whole or not standing.whole:
        return None
    found = canary.share - standing.share
    (low, high), (low_of, high_of) = canary.interval, standing.interval
    below = math.hypot(canary.share - low, high_of - standing.share)
    above = math.hypot(high - canary.share, standing.share - low_of)
    return {
        "share": round(found, _PLACES),
        "interval": [round(found - below, _PLACES), round(found + above, _PLACES)],
        "is_known": found - below > 0 or found + above < 0,
    }


def needed(standing: Rate, least: float) -> int:
    """Draws per arm to find a difference of `least`, four times of five, beside the share that the standing arm has."""
    share = (standing.part + 1) / (standing.whole + 2)  # of nothing found nothing follows
    other = share + least if share + least < 1 else share - least
    spread = share * (1 - share) + other * (1 - other)
    return math.ceil((SIDE + POWER) ** 2 * spread / least**2)


def clustered(counts: Sequence[tuple[int, int]]) -> Rate:
    """Of (part, whole) per pattern. People of one pattern read the same words, so they count as fewer than they are."""
    counts = [one for one in counts if one[1]]
    part, whole = sum(one for one, _ in counts), sum(one for _, one in counts)
    if not whole:
        return Rate(0, 0, 0.0)
    share, number = part / whole, len(counts)
    fewest = whole**2 / sum(one**2 for _, one in counts)  # Kish: as if everybody of a pattern did the same
    if number < 2 or not 0 < share < 1:  # noqa: PLR2004  of one pattern, or where all did alike, nothing is known of the spread
        return Rate(part, whole, fewest)
    between = number / (number - 1) * sum((one - share * of) ** 2 for one, of in counts) / whole**2
    alone = share * (1 - share) / whole
    spread_known = (SIDE / _students(number - 1)) ** 2  # a spread that few patterns tell of may be larger
    return Rate(part, whole, min(whole, whole * alone / between) * spread_known if between else whole)


def _students(freedom: int) -> float:
    """Student's quantile beside `SIDE`, by the first terms of Cornish and Fisher's series."""
    first = (SIDE**3 + SIDE) / (4 * freedom)
    return SIDE + first + (5 * SIDE**5 + 16 * SIDE**3 + 3 * SIDE) / (96 * freedom**2)


def compared(tried: Sequence[Message], least: float) -> dict[str, Any]:
    """Per measure each arm's rate, their difference, and how many draws each arm still needs. Messages whose arm wasn't drawn (the canary
    had stopped) are left out, and so are patterns that a budget kept from being written."""
    drawn = [one for one in tried if one.trial["propensity"] < 1]
    by_pattern: dict[tuple[str, str], list[Message]] = defaultdict(list)
    for one in drawn:
        by_pattern[one.trial["arm"], one.trial["pattern"]].append(one)
    arms = {
        arm: [messages for (of, _), messages in sorted(by_pattern.items()) if of == arm] for arm in (CANARY, STANDING)
    }
    measures: dict[str, Any] = {}
    for name, rate in _MEASURES.items():
        rates = {arm: rate(patterns) for arm, patterns in arms.items()}
        wanted = needed(rates[STANDING], least)
        measures[name] = {
            **{arm: one.as_json() for arm, one in rates.items()},
            "difference": difference(rates[CANARY], rates[STANDING]),
            "more_needed": {arm: max(0, wanted - math.floor(one.effective)) for arm, one in rates.items()},
        }
    return {
        "patterns": {arm: len(patterns) for arm, patterns in arms.items()},
        "messages": {arm: sum(map(len, patterns)) for arm, patterns in arms.items()},
        "put_back": len(tried) - len(drawn),
        "measures": measures,
    }


Patterns = Sequence[Sequence[Message]]


def _of_patterns(is_so: Callable[[Message], bool]) -> Callable[[Patterns], Rate]:
    def rate(patterns: Patterns) -> Rate:
        known = [
            [one for one in messages if fate_of(one.fallback_reason, one.caution) is not None] for messages in patterns
        ]
        known = [messages for messages in known if messages]
        return Rate(sum(any(map(is_so, messages)) for messages in known), len(known), float(len(known)))

    return rate


def _of_messages(is_asked: Callable[[Message], bool], is_so: Callable[[Message], bool]) -> Callable[[Patterns], Rate]:
    def rate(patterns: Patterns) -> Rate:
        asked = [[one for one in messages if is_asked(one)] for messages in patterns]
        return clustered([(sum(map(is_so, messages)), len(messages)) for messages in asked])

    return rate


def _fate(name: str) -> Callable[[Message], bool]:
    return lambda one: bool((fate := fate_of(one.fallback_reason, one.caution)) and getattr(fate, name))


def _is_sent(one: Message) -> bool:
    return one.is_sent


_MEASURES: Mapping[str, Callable[[Patterns], Rate]] = {
    "rejected": _of_patterns(_fate("rejected")),
    "repaired": _of_patterns(lambda one: one.caution == "repaired"),
    "fell_back": _of_patterns(_fate("fell_back")),
    "turned_down_by_a_person": _of_messages(
        lambda one: one.verdict in ("approved", "rejected", "edited"), lambda one: one.verdict in ("rejected", "edited")
    ),
    "read": _of_messages(lambda one: one.was_read is not None, lambda one: bool(one.was_read)),
    "unsubscribed": _of_messages(_is_sent, lambda one: "unsubscribed" in one.reasons),
    "complained": _of_messages(_is_sent, lambda one: "complained" in one.reasons),
}
