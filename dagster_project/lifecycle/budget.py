"""What a run may spend on a language model, and what it has spent. Pure."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
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

    def times(self, number: int) -> Cost:
        return Cost(self.calls * number, self.tokens * number, None if self.dollars is None else self.dollars * number)


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """The most that a run, or one campaign in it, may cost; None: no limit."""

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


class Purse:
    """What a run has spent, in all and per campaign, and what is set aside for calls that are about to be made."""

    def __init__(self, run: Budget, campaigns: Mapping[str, Budget]) -> None:
        self._run, self._campaigns = run, campaigns
        self._spent, self._spent_by = Cost(), defaultdict[str, Cost](Cost)
        self._aside, self._aside_by = Cost(), defaultdict[str, Cost](Cost)
        self._promised, self._promised_by = Cost(), defaultdict[str, Cost](Cost)

    def set_aside(self, campaign_id: str, most: Cost) -> bool:
        """Whether so much more fits both limits; if it does, it is held until `settle`."""
        of_campaign = self._campaigns.get(campaign_id, Budget())
        held, held_by = self._aside + self._promised, self._aside_by[campaign_id] + self._promised_by[campaign_id]
        fits = self._run.admits(self._spent + held + most) and of_campaign.admits(
            self._spent_by[campaign_id] + held_by + most
        )
        if fits:
            self._aside += most
            self._aside_by[campaign_id] += most
        return fits

    def promise(self, campaign_id: str, cost: Cost) -> None:
        """So much is kept for what has to follow a call that was made, until `redeem`."""
        self._promised += cost
        self._promised_by[campaign_id] += cost

    def redeem(self) -> None:
        """What was promised may be spent: those that it was kept for come now."""
        self._promised = Cost()
        self._promised_by.clear()

    def settle(self, costs: Mapping[str, Cost]) -> None:
        """The calls that all this was set aside for have been made, at these costs by campaign."""
        self._aside = Cost()
        self._aside_by.clear()
        for campaign_id, cost in costs.items():
            self._spent += cost
            self._spent_by[campaign_id] += cost
