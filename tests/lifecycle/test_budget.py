"""A budget is a limit: what would go over it is not spent."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dagster_project.lifecycle.budget import Budget, Cost, Purse

FREE = Cost(1, 100, Decimal("0.5"))


@pytest.mark.parametrize(
    ("budget", "cost", "is_admitted"),
    [
        (Budget(), Cost(10**6, 10**9, None), True),
        (Budget(calls=0), Cost(), True),
        (Budget(calls=1), FREE, True),
        (Budget(calls=1), FREE + FREE, False),
        (Budget(tokens=199), FREE + FREE, False),
        (Budget(tokens=200), FREE + FREE, True),
        (Budget(dollars=Decimal("0.99")), FREE + FREE, False),
        (Budget(dollars=Decimal(1)), FREE + FREE, True),
        (Budget(dollars=Decimal(1)), Cost(1, 1, None), False),
    ],
)
def test_a_budget_admits_up_to_its_limits(budget: Budget, cost: Cost, is_admitted: bool) -> None:
    """Exactly the limit may be spent; what has no known price is over any limit in dollars."""
    assert budget.admits(cost) is is_admitted


def test_a_cost_that_nobody_knows_makes_the_sum_unknown() -> None:
    """Calls and tokens still add up."""
    assert FREE + Cost(2, 50, None) == Cost(3, 150, None)
    assert Cost(2, 200, Decimal(1)) == FREE + FREE


def test_what_is_promised_is_kept_from_others_until_it_is_redeemed() -> None:
    """A text's readers find their money still there, whatever was written in the meantime, in the run's budget and its campaign's."""
    for run, campaign in ((Budget(calls=5), Budget()), (Budget(), Budget(calls=5))):
        purse = Purse(run, {"winback": campaign})
        assert purse.set_aside("winback", FREE.times(3))
        purse.settle({"winback": FREE})
        purse.promise("winback", FREE.times(2))
        assert not purse.set_aside("winback", FREE.times(3)), "one was spent, two are promised"
        assert purse.set_aside("winback", FREE.times(2))
        purse.settle({"winback": FREE.times(2)})
        assert not purse.set_aside("winback", FREE)
        purse.redeem()
        assert purse.set_aside("winback", FREE.times(2))
        assert not purse.set_aside("winback", FREE)
