"""`explain` says what the models decided, for everybody, at any time."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dagster_project.adapters.models import Models
from dagster_project.commands.explain import TRIGGERS, _built_for, explain
from dagster_project.home import Home
from dagster_project.ledger.rows import TickRow
from dagster_project.lifecycle.errors import InputError

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
ONE_HOUR = timedelta(hours=1)


@pytest.fixture
def compiled_once(ticked: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The triggers' SQL of the tick, so that a hundred explanations don't ask dbt a hundred times."""
    triggers = ticked.models.compiled([TRIGGERS], MORNING)
    monkeypatch.setattr(Models, "compiled", lambda *_: triggers)


def last_tick(home: Home) -> TickRow:
    with home.ledger() as ledger:
        tick = ledger.last_tick()
    assert tick is not None
    return tick


def verdicts(home: Home) -> dict[str, tuple[object, ...]]:
    """Everything that a decision consists of, by candidate."""
    names = "verdict, reason, reasons_all, variant, arm, send_after, send_before, facts, winner_message_id"
    rows = home.warehouse.rows(f"select message_id, {names} from int_verdicts")
    return {row["message_id"]: tuple(row.values()) for row in rows}


def campaigns_of(home: Home, user_id: str, as_of: datetime | None = None) -> dict[str, Mapping[str, Any]]:
    return {one["campaign_id"]: one for one in explain(home, user_id, None, as_of)["campaigns"]}


@pytest.mark.usefixtures("compiled_once")
def test_a_hundred_people_are_explained_as_they_were_decided(ticked: Home) -> None:
    """Every campaign of each: qualified if and only if the trigger has them, with the very verdict and rules."""
    users = [row["user_id"] for row in ticked.warehouse.rows("select user_id from stg_users order by user_id")]
    chosen = random.Random(7).sample(users, 80)
    candidates = ticked.warehouse.rows("select distinct user_id from int_verdicts order by user_id")
    chosen += random.Random(8).sample([row["user_id"] for row in candidates], 20)
    triggered: set[tuple[str, str]] = set()
    for name in ticked.policies:
        rows = ticked.warehouse.rows(f"select user_id from int_triggers__{name}")
        triggered |= {(row["user_id"], name) for row in rows}
    decided = {
        (row["user_id"], row["campaign_id"]): (row["message_id"], row["verdict"], row["reason"])
        for row in ticked.warehouse.rows("select * from int_verdicts order by triggered_at, message_id")
    }
    rules: dict[str, set[tuple[str, bool, str | None]]] = {}
    for row in ticked.warehouse.rows("select * from int_eligibility_unioned"):
        rules.setdefault(row["message_id"], set()).add((row["rule"], row["is_blocked"], row["reason"]))

    disagreements = []
    for user_id in chosen:
        answer = campaigns_of(ticked, user_id)
        assert list(answer) == sorted(ticked.policies)
        for name, campaign in answer.items():
            message_id, verdict, reason = decided.get((user_id, name), (None, None, None))
            if message_id is None:
                first = next(one["name"] for one in campaign["conditions"] if not one["value"])
                verdict, reason = "not_qualified", f"not {first}"
                if all(one["value"] is None for one in campaign["conditions"]):
                    reason = "the trigger has no row for this person"
            told = {(one["rule"], one["is_blocked"], one["reason"]) for one in campaign["rules"]}
            if (campaign["qualified"], campaign["verdict"], campaign["reason"], told) != (
                (user_id, name) in triggered, verdict, reason, rules.get(message_id or "", set()),
            ):  # fmt: skip
                disagreements.append((user_id, name, campaign["verdict"], verdict))

    assert disagreements == []
    assert any(user_id == one for user_id, _ in triggered for one in chosen)


@pytest.mark.usefixtures("compiled_once")
def test_an_explanation_has_the_promised_shape(ticked: Home) -> None:
    """The keys that machines read, for somebody who was mailed and for somebody held for consent."""
    (sent,) = ticked.warehouse.rows("select * from int_verdicts where verdict = 'send' order by message_id limit 1")
    answer = explain(ticked, sent["user_id"], sent["campaign_id"], None)

    json.dumps(answer, default=str)
    assert answer["user_id"] == sent["user_id"]
    (campaign,) = answer["campaigns"]
    assert set(campaign) >= {"campaign_id", "qualified", "conditions", "rules", "verdict", "reason", "message"}
    assert all(set(one) == {"name", "value"} and one["value"] is True for one in campaign["conditions"])
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


@pytest.mark.usefixtures("compiled_once")
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
    """Before the last tick: the same verdicts as that tick's own. After it: the same as the tick that then comes."""
    at_nine = verdicts(ticked)
    with _built_for(ticked, MORNING + ONE_HOUR, last_tick(ticked)) as then:
        foretold = verdicts(then)

    folder = Path(shutil.copytree(ticked.path, tmp_path / "later"))
    tick_in(folder, small_company, MORNING + ONE_HOUR)
    later = opened(folder)

    assert foretold == verdicts(later)
    assert foretold != at_nine
    with _built_for(later, MORNING, last_tick(later)) as then:
        assert verdicts(then) == at_nine
    (sent,) = later.warehouse.rows(
        "select * from fct_decisions where verdict = 'send' and as_of = ? order by message_id limit 1", [MORNING]
    )
    (campaign,) = explain(later, sent["user_id"], sent["campaign_id"], MORNING)["campaigns"]
    assert (campaign["verdict"], campaign["reason"]) == ("send", "eligible")
    assert campaign["message"]["message_id"] == sent["message_id"]
    assert last_tick(later).as_of == MORNING + ONE_HOUR  # asking changes nothing
    assert verdicts(later) == foretold


def test_who_is_not_there_is_refused_in_one_line(ticked: Home) -> None:
    """Unknown people and campaigns, people who had not signed up yet, and a home without a tick."""
    with pytest.raises(InputError, match=r"--user nobody: nobody by this id at 2026-09-01T09:00:00Z"):
        explain(ticked, "nobody", None, None)
    with pytest.raises(InputError, match=r"--campaign spam: unknown; allowed are churn_risk, .*winback"):
        explain(ticked, "nobody", "spam", None)
    (user,) = ticked.warehouse.rows("select user_id from stg_users order by user_id limit 1")
    with pytest.raises(InputError, match=r"at 2020-01-01T00:00:00Z.*from the day they signed up"):
        explain(ticked, user["user_id"], None, datetime(2020, 1, 1))


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

    with _built_for(home, MORNING + ONE_HOUR, last_tick(home)) as then:
        assert then is not home
        assert then.warehouse.rows("select distinct as_of from int_verdicts") == [{"as_of": MORNING + ONE_HOUR}]
