"""What a tick would ask a model is told before it asks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dagster_project.commands.plan import plan
from dagster_project.home import Home

pytestmark = pytest.mark.slow


def test_a_plan_counts_patterns_and_asks_nothing(make_home: Callable[..., Home]) -> None:
    """Fewer calls than messages, nothing in the ledger, the home as it was; a known answer is no call any more."""
    home = make_home()
    told = plan(home, None)

    assert set(told["campaigns"]) <= {name for name, policy in home.policies.items() if policy.mode == "assisted"}
    assert told["calls"] == sum(counts["calls"] for counts in told["campaigns"].values()) > 0
    for counts in told["campaigns"].values():
        assert 0 < counts["patterns"] <= counts["messages"]
        assert counts["patterns"] < counts["calls"] <= 3 * counts["patterns"], "readers share calls"
        assert counts["known"] == 0
    assert told["tokens_in"] > told["tokens_out"] > 0
    assert told["dollars"] == pytest.approx((told["tokens_in"] * 0.15 + told["tokens_out"] * 0.60) / 1e6)
    assert (told["is_set"], told["most_calls"]) == (False, 500)
    assert not home.settings.warehouse_path.exists()
    assert not home.outbox.exists()
