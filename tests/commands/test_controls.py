"""Pause, resume and the kill switch: at once, by whom and why, and seen by everybody who asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.commands.controls import campaigns, kill, pause, resume
from dagster_project.commands.explain import explain
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)


def states(home: Home) -> Counter[str]:
    return Counter(one["state"] for one in campaigns(home)["campaigns"])


def test_the_list_has_every_campaign_with_its_last_audience(ticked: Home) -> None:
    listed = {one["campaign_id"]: one for one in campaigns(ticked)["campaigns"]}
    counted = ticked.warehouse.rows(
        "select campaign_id, count(*) as candidates, count(*) filter (verdict = 'send') as sends"
        " from int_verdicts group by 1"
    )

    assert set(listed) == set(ticked.policies)
    assert {name: (one["candidates"], one["sends"]) for name, one in listed.items() if one["candidates"]} == {
        row["campaign_id"]: (row["candidates"], row["sends"]) for row in counted
    }
    assert states(ticked) == {"live": len(ticked.policies)}


def test_a_control_is_shown_with_who_and_why_until_it_is_lifted(home: Home) -> None:
    pause(home, "winback", "ana", "wrong discount")
    assert states(home)["paused"] == 1
    (control,) = campaigns(home)["controls"]
    assert (control["campaign_id"], control["actor"], control["reason"]) == ("winback", "ana", "wrong discount")

    kill(home, "ben", "bounces rise")
    assert campaigns(home)["killed"]
    assert set(states(home)) == {"killed"}
    resume(home, None, "ben", "they fell")
    assert states(home)["paused"] == 1
    resume(home, "winback", "ana", "mended")
    assert campaigns(home)["controls"] == []
    with pytest.raises(InputError, match=r"spam.*allowed are churn_risk"):
        pause(home, "spam", "ana", "x")


def test_a_paused_campaign_is_held_and_a_kill_stops_the_rest(
    tmp_path: Path,
    small_company: Path,
    opened: Callable[[Path], Home],
    tick_in: Callable[[Path, Path, datetime], None],
) -> None:
    """Paused before the tick: its candidates are held for that reason. Killed: nothing at all is sent."""
    home = opened(tmp_path / "home")
    pause(home, "terms_update", "ana", "typo")
    tick_in(home.path, small_company, MORNING)

    held = home.warehouse.rows(
        "select distinct verdict, reason from int_verdicts where campaign_id = 'terms_update' and reason = 'paused'"
    )
    assert held == [{"verdict": "hold", "reason": "paused"}]
    with home.ledger() as ledger:
        sent = Counter(one.campaign_id for one in ledger.messages(("sent",)))
    assert sent["terms_update"] == 0
    assert sum(sent.values()) > 0
    (someone,) = home.warehouse.rows("select user_id from int_verdicts where reason = 'paused' order by 1 limit 1")
    (told,) = explain(home, someone["user_id"], "terms_update", None)["campaigns"]
    assert (told["verdict"], told["reason"]) == ("hold", "paused")

    resume(home, "terms_update", "ana", "mended")
    kill(home, "ana", "bounces rise")
    tick_in(home.path, small_company, MORNING.replace(hour=10))
    with home.ledger() as ledger:
        assert Counter(one.campaign_id for one in ledger.messages(("sent",))) == sent

    resume(home, None, "ana", "they fell")
    tick_in(home.path, small_company, MORNING.replace(hour=11))
    with home.ledger() as ledger:
        assert Counter(one.campaign_id for one in ledger.messages(("sent",)))["terms_update"] > 0
        assert ledger.verify()["ok"]
