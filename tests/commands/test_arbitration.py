"""What a tick says of the order it went by: the worth of every candidate, who came first, and what one place more would have brought."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from statistics import mean
from typing import Any

import pytest

from dagster_project.commands.explain import explain
from dagster_project.commands.explain_report import show_explanation
from dagster_project.commands.report import show_run
from dagster_project.commands.unchanged import KEPT
from dagster_project.home import Home

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)


def valued(home: Home) -> list[dict[str, Any]]:
    """Every candidate of marketing with its verdict and its worth."""
    return home.warehouse.rows("""
        select verdicts.*, worth.value, worth.expected_value
        from int_verdicts as verdicts
        inner join int_candidate_values as worth using (message_id)
        inner join dim_campaigns as campaigns on verdicts.campaign_id = campaigns.campaign_id
        where campaigns.is_marketing
    """)


def test_every_marketing_candidate_of_the_demo_company_has_a_value_and_no_other_has(ticked: Home) -> None:
    (count,) = ticked.warehouse.rows("""
        select count(*) filter (is_marketing and value is null) as unvalued, count(*) filter (not is_marketing and value is not null) as owed
        from int_candidate_values inner join dim_campaigns using (campaign_id)
    """)

    assert count == {"unvalued": 0, "owed": 0}


def test_the_order_of_marketing_is_by_expected_value(ticked: Home) -> None:
    rows = ticked.warehouse.rows("select expected_value from int_contenders where is_marketing order by position")
    worth = [row["expected_value"] for row in rows]

    assert len(worth) > 20
    assert worth == sorted(worth, reverse=True)


def test_the_price_of_a_place_in_an_account_is_the_mean_of_what_each_accounts_best_would_bring(ticked: Home) -> None:
    """Counted once more by hand, out of the verdicts."""
    sent = {row["user_id"]: row["expected_value"] for row in valued(ticked) if row["verdict"] == "send"}
    gains: dict[str, list[float]] = defaultdict(list)
    for row in valued(ticked):
        if row["reasons_all"] == '["account_crowded"]':
            gains[row["account_id"]].append(max(row["expected_value"] - sent.get(row["user_id"], 0), 0))
    assert gains, "some account is crowded"

    (price,) = [row for row in ticked.cap_prices(MORNING) if row["cap"] == "account_crowded"]

    best = [max(one) for one in gains.values()]
    assert price == {
        "cap": "account_crowded",
        "shared_by": "account",
        "candidates": sum(map(len, gains.values())),
        "holders": len(gains),
        "price": pytest.approx(mean(best), abs=1e-4),
        "highest_price": pytest.approx(max(best), abs=1e-4),
    }


def test_the_prices_are_in_the_ticks_report(ticked: Home, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads((ticked.path / KEPT).read_text())["report"]

    show_run(report)

    assert report["cap_prices"] == ticked.cap_prices(MORNING)
    assert "one place more, in dollars expected" in capsys.readouterr().out


def test_a_contest_is_told_with_the_worth_of_each_message(ticked: Home, capsys: pytest.CaptureFixture[str]) -> None:
    sent = next(row for row in valued(ticked) if row["verdict"] == "send")

    answer = explain(ticked, sent["user_id"], sent["campaign_id"], None)

    ((rival, *_),) = [campaign["contest"] for campaign in answer["campaigns"]]
    assert rival["message_id"] == sent["message_id"]
    assert rival["worth"] == {
        "value": sent["value"],
        "recent_messages": 0,
        "fatigue_share": 1,
        "attention_cost": 0.05,
        "expected_value": sent["expected_value"],
    }
    assert {"is_planned", "priority", "triggered_at"} <= rival["by"].keys()
    (campaign,) = answer["campaigns"]
    show_explanation(
        answer | {"campaigns": [campaign | {"contest": [rival, rival | {"worth": rival["worth"] | {"value": None}}]}]}
    )
    shown = capsys.readouterr().out
    assert f"worth {sent['expected_value']:.2f} = {sent['value']:.2f} - 0.05" in shown
    assert "value unknown: counts as 0" in shown
