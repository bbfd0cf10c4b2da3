"""Frequency caps as a decision carries them: how many messages a person may get within how many hours."""

from __future__ import annotations

import dataclasses
import functools
import heapq
import json
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from dagster_project.lifecycle.errors import InputError

MOST_HOURS = 8_760  # 365 days: the longest window that a policy may name


@dataclasses.dataclass(frozen=True, slots=True)
class Cap:
    """At most `count` messages within any `window`; one that is exactly a window old counts no more."""

    count: int
    window: timedelta

    def opens_at(self, earlier: Collection[datetime], as_of: datetime) -> datetime:
        """When one more message may follow those sent at these times: `as_of` when it may at once."""
        within = [moment for moment in earlier if moment > as_of - self.window]
        return heapq.nlargest(self.count, within)[-1] + self.window if len(within) >= self.count else as_of


@functools.lru_cache(maxsize=1_000)  # a batch has as many different texts as campaigns
def read_caps(text: str | None) -> tuple[Cap, ...]:
    """The caps in a JSON list of [messages, hours], as `int_verdicts` writes it; none for None. InputError for anything else."""
    if text is None:
        return ()
    try:
        pairs = json.loads(text)
    except ValueError:
        pairs = None
    if not isinstance(pairs, list) or not all(map(_is_cap, pairs)):
        raise InputError(
            f"caps: found {text!r}; allowed: a JSON list of [messages, hours], from 1 message, from 1 to {MOST_HOURS} hours"
        )
    return tuple(Cap(count, timedelta(hours=hours)) for count, hours in pairs)


def _is_cap(pair: object) -> bool:
    if not isinstance(pair, list) or [type(one) for one in pair] != [int, int]:
        return False
    count, hours = pair
    return count >= 1 and 1 <= hours <= MOST_HOURS


def opens_at(caps: Iterable[Cap], earlier: Collection[datetime], as_of: datetime) -> datetime | None:
    """When the last of the caps that stand against one more message lets it go; None when none of them does."""
    latest = max((cap.opens_at(earlier, as_of) for cap in caps), default=as_of)
    return latest if latest > as_of else None
