"""`explain` says what the models decided, for everybody, at any time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dagster_project.commands.explain import explain
from dagster_project.commands.moment import at_moment
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
ONE_HOUR = timedelta(hours=1)


def campaigns_of(home: Home, user_id: str, as_of: datetime | None = None) -> dict[str, Mapping[str, Any]]:
    return {one["campaign_id"]: one for one in explain(home, user_id, None, as_of)["campaigns"]}


def test_an_explanation_has_the_promised_shape(ticked: Home) -> None:
    """The keys that machines read, for somebody who was mailed and for somebody held for consent."""
    (sent,) = ticked.warehouse.rows("select * from int_verdicts where verdict = 'send' order by message_id limit 1")
    answer = explain(ticked, sent["user_id"], sent["campaign_id"], None)

    json.dumps(answer, default=str)
    assert answer["user_id"] == sent["user_id"]
    (campaign,) = answer["campaigns"]
    assert set(campaign) >= {"campaign_id", "qualified", "conditions", "rules", "verdict", "reason", "message"}
    assert all(one["value"] is True for one in campaign["conditions"])
    assert all(set(one) == {"name", "value", "sql", "checks", "reads"} for one in campaign["conditions"])
    assert len(campaign["rules"]) == 18
    assert all(set(one) >= {"rule", "is_blocked", "reason"} and not one["is_blocked"] for one in campaign["rules"])
    assert campaign["facts"] == json.loads(sent["facts"])
    story = campaign["message"]
    assert story["message_id"] == sent["message_id"]
    assert {"template", "layout", "policy", "facts"} <= set(story["recipe"])
    assert story["drafts"][-1]["draft_hash"] == story["reviews"][-1]["draft_hash"]

    held = ticked.warehouse.rows("select * from int_verdicts where reason = 'no_consent' order by message_id limit 1")
    (campaign,) = explain(ticked, held[0]["user_id"], held[0]["campaign_id"], None)["campaigns"]
    assert (campaign["verdict"], campaign["reason"], campaign["message"]) == ("hold", "no_consent", None)
    assert next(one["rule"] for one in campaign["rules"] if one["is_blocked"]) == "consent"


def test_the_candidates_own_message_is_shown_and_else_the_newest(home: Home) -> None:
    """A person may have had messages of a campaign before; what was planned after the time asked for isn't there yet."""
    (sent,) = home.warehouse.rows("select * from int_verdicts where verdict = 'send' order by message_id limit 1")
    earlier = "0" * 32
    with home.ledger() as ledger:
        from dagster_project.lifecycle.planning import as_planned

        (message,) = ledger.messages(message_ids=[sent["message_id"]])
        other = as_planned(message)
        values = {name: getattr(other, name) for name in other.__dataclass_fields__}
        ledger.plan(
            [type(other)(**values | {"message_id": earlier, "occurrence_key": "earlier"})], "r", MORNING, "demo"
        )

    (campaign,) = explain(home, sent["user_id"], sent["campaign_id"], None)["campaigns"]
    assert campaign["message"]["message_id"] == sent["message_id"]

    from dagster_project.commands.explain import _message

    with home.ledger() as ledger:
        messages = ledger.messages(user_id=sent["user_id"])
    newest = _message(messages, sent["campaign_id"], None, MORNING)
    assert newest is not None
    assert newest.message_id == max(sent["message_id"], earlier)
    assert _message(messages, sent["campaign_id"], sent, MORNING - ONE_HOUR) is None
    assert _message(messages, "another", None, MORNING) is None


def test_another_time_is_decided_as_a_tick_at_that_time_would(
    ticked: Home,
    small_company: Path,
    tmp_path: Path,
    opened: Callable[[Path], Home],
    tick_in: Callable[[Path, Path, datetime], None],
) -> None:
    """Before the last tick: what that time's own tick said. After it: what the tick that then comes says."""
    people = ticked.warehouse.rows("select distinct user_id from int_verdicts order by user_id limit 2")
    users = [row["user_id"] for row in people]
    at_nine = {user: _verdicts(ticked, user, MORNING) for user in users}
    foretold = {user: _verdicts(ticked, user, MORNING + ONE_HOUR) for user in users}

    folder = Path(shutil.copytree(ticked.path, tmp_path / "later"))
    tick_in(folder, small_company, MORNING + ONE_HOUR)
    later = opened(folder)

    assert {user: _verdicts(later, user, None) for user in users} == foretold
    assert foretold != at_nine
    assert {user: _verdicts(later, user, MORNING) for user in users} == at_nine
    (sent,) = later.warehouse.rows(
        "select * from fct_decisions where verdict = 'send' and as_of = ? order by message_id limit 1", [MORNING]
    )
    (campaign,) = explain(later, sent["user_id"], sent["campaign_id"], MORNING)["campaigns"]
    assert (campaign["verdict"], campaign["reason"]) == ("send", "eligible")
    assert campaign["message"]["message_id"] == sent["message_id"]
    with later.ledger() as ledger:  # asking changes nothing
        tick = ledger.last_tick()
    assert tick is not None
    assert tick.as_of == MORNING + ONE_HOUR


def _verdicts(home: Home, user_id: str, as_of: datetime | None) -> dict[str, object]:
    """Everything that the decisions on a person consist of, by campaign."""
    return {
        name: (one["verdict"], one["reason"], one["decision"])
        for name, one in campaigns_of(home, user_id, as_of).items()
    }


def test_who_is_not_there_is_refused_in_one_line(ticked: Home) -> None:
    """Unknown people and campaigns, people who had not signed up yet, and a home without a tick."""
    with pytest.raises(InputError, match=r"--user nobody: nobody by this id at 2026-09-01T09:00:00Z"):
        explain(ticked, "nobody", None, None)
    with pytest.raises(InputError, match=r"--campaign spam: unknown; allowed are churn_risk, .*winback"):
        explain(ticked, "nobody", "spam", None)
    (user,) = ticked.warehouse.rows("select user_id from stg_users order by user_id limit 1")
    with pytest.raises(
        InputError, match=r"--as-of 2020-01-01T00:00:00Z: before the data; the first person signed up at 20"
    ):
        explain(ticked, user["user_id"], None, datetime(2020, 1, 1))
    (user,) = ticked.warehouse.rows("select * from stg_users order by created_at desc limit 1")
    before = user["created_at"] - ONE_HOUR
    with pytest.raises(
        InputError, match=rf"--user {user['user_id']}: nobody by this id at .*from the day they signed up"
    ):
        explain(ticked, user["user_id"], None, before)


def test_a_home_whose_warehouse_holds_other_rows_says_what_to_run(home: Home, tmp_path: Path) -> None:
    """Without a tick, and with a tick of a pack whose rows another pack's have replaced."""
    yammer = Home(home.settings.model_copy(update={"source": "yammer"}))
    with pytest.raises(InputError, match="no tick of pack yammer yet; `postrider run` makes one"):
        explain(yammer, "1", None, None)
    with home.ledger() as ledger:
        ledger.begin_tick("run", datetime(2014, 8, 1, 9), "yammer")
    with pytest.raises(InputError, match="holds no rows of pack yammer; `postrider run --source yammer` lands them"):
        explain(yammer, "1", None, None)


def test_a_tick_that_was_stopped_is_explained_from_models_built_anew(home: Home) -> None:
    """What a stopped tick left in the warehouse may be half of it; its time is asked for, so its time is answered."""
    with home.ledger() as ledger:
        ledger.begin_tick("stopped", MORNING + ONE_HOUR, "demo")
        ledger.finish_tick("stopped", "stopped", {}, {})

    (user,) = home.warehouse.rows("select user_id from int_verdicts order by user_id limit 1")
    told = _verdicts(home, user["user_id"], MORNING + ONE_HOUR)
    with at_moment(home, MORNING + ONE_HOUR) as moment:
        stored = moment.slices.stored
        assert {stored["int_verdicts/verdicts"], stored["int_users_enriched/enriched"]} == {
            '"whole_int_verdicts"', '"whole_int_users_enriched"'
        }, "made here, and not what lies in the warehouse"  # fmt: skip
    assert _verdicts(home, user["user_id"], None) == told  # the stopped tick is the last one
