"""What a run may spend on a language model, and what it has spent. Pure."""

from __future__ import annotations

import dataclasses
from decimal import Decimal


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Of some calls. `dollars` is None where nobody knows a price: then only calls and tokens can be limited."""

    calls: int = 0
    tokens: int = 0
    dollars: Decimal | None = Decimal(0)

    def __add__(self, other: Cost) -> Cost:
        dollars = None if self.dollars is None or other.dollars is None else self.dollars + other.dollars
        return Cost(self.calls + other.calls, self.tokens + other.tokens, dollars)


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """The most that a run may cost; None: no limit."""

    calls: int | None = None
    tokens: int | None = None
    dollars: Decimal | None = None

    def admits(self, cost: Cost) -> bool:
        """Whether so much may be spent in all. What has no known price is over any limit in dollars."""
        return not (
            (self.calls is not None and cost.calls > self.calls)
            or (self.tokens is not None and cost.tokens > self.tokens)
            or (self.dollars is not None and (cost.dollars is None or cost.dollars > self.dollars))
        )
