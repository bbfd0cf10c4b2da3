"""`explain` runs the models for one person; here it is held against the models run for everybody."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dagster_project.adapters import slices
from dagster_project.commands.explain import explain
from dagster_project.commands.funnel import funnel
from dagster_project.home import Home
from dagster_project.lifecycle.explanation import named_conditions

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
PAST = (datetime(2026, 8, 30, 16, 30), datetime(2026, 7, 20, 10))


class Truth:
    """What a warehouse whose models were built by dbt says of everybody, by person and campaign."""

    def __init__(self, built: Home, as_of: datetime) -> None:
        rows = built.warehouse.rows
        self.users = [row["user_id"] for row in rows("select user_id from stg_users order by user_id")]
        self.decisions: dict[tuple[str, str], dict[str, Any]] = {}
        for row in rows("select * from int_verdicts order by triggered_at, message_id"):
            self.decisions[row["user_id"], row["campaign_id"]] = row
        self.rules: dict[str, set[tuple[str, bool, str | None]]] = {}
        for row in rows("select * from int_eligibility_unioned"):
            self.rules.setdefault(row["message_id"], set()).add((row["rule"], row["is_blocked"], row["reason"]))
        self.triggered: set[tuple[str, str]] = set()
        self.conditions: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for model, sql in built.models.queries(as_of).items():
            if model.startswith("int_triggers__"):
                campaign = model.removeprefix("int_triggers__")
                self.triggered |= {(row["user_id"], campaign) for row in rows(f"select user_id from {model}")}
                names = named_conditions(model, sql)
                cut = sql[: sql.rindex("select")] + f"select user_id, {', '.join(names)} from conditions"
                for row in rows(cut):
                    self.conditions.setdefault((row.pop("user_id"), campaign), []).append(row)

    def disagreements(self, answer: dict[str, Any]) -> list[tuple[object, ...]]:
        """Where an explanation says anything else than these models: conditions, qualified, verdict, reason or a rule."""
        found: list[tuple[object, ...]] = []
        for told in answer["campaigns"]:
            key = answer["user_id"], told["campaign_id"]
            values = {one["name"]: one["value"] for one in told["conditions"]}
            if values not in (self.conditions.get(key) or [dict.fromkeys(values)]):
                found.append((*key, "conditions", values))
            decision = self.decisions.get(key)
            failed = next((name for name, value in values.items() if not value), None)
            verdict, reason = (
                (decision["verdict"], decision["reason"]) if decision else ("not_qualified", f"not {failed}")
            )
            if (told["qualified"], told["verdict"], told["reason"]) != (key in self.triggered, verdict, reason):
                found.append((*key, told["verdict"], told["reason"], verdict, reason))
            rules = {(rule["rule"], rule["is_blocked"], rule["reason"]) for rule in told["rules"]}
            if rules != (self.rules[decision["message_id"]] if decision else set()):
                found.append((*key, "rules", sorted(rules, key=str)))
            if decision and any(told["decision"][name] != decision[name] for name in told["decision"]):
                found.append((*key, "decision", told["decision"]))
        return found


@contextlib.contextmanager
def built_by_dbt(home: Home, as_of: datetime, folder: Path) -> Iterator[Home]:
    """Another warehouse over the same rows and the ledger as it stands, in which dbt has built everything as of a time."""
    scratch = Home(home.settings.model_copy(update={"home": folder, "data": home.data}))
    folder.mkdir()
    home.warehouse.copy_landed(scratch.settings.warehouse_path)
    with home.ledger() as ledger:
        scratch.warehouse.write(ledger.land(home.pack.name), schema="raw")
    scratch.models.adopt(home.models)
    scratch.models.rebuild(as_of)
    yield scratch
    shutil.rmtree(folder)


def some(users: Sequence[str], truth: Truth, count: int, seed: int) -> list[str]:
    """A random half of anybody, a random half of candidates."""
    candidates = sorted({user for user, _ in truth.decisions})
    chosen = random.Random(seed).sample(list(users), count - count // 2)
    return chosen + random.Random(seed).sample(candidates, min(count // 2, len(candidates)))


def test_people_are_explained_as_the_tick_decided(ticked: Home, is_long: bool) -> None:
    """Every campaign of each: the conditions of the trigger, and verdict, reason and rules of the tick."""
    truth = Truth(ticked, MORNING)
    chosen = some(truth.users, truth, 1_000 if is_long else 8, seed=7)

    assert [one for user in chosen for one in truth.disagreements(explain(ticked, user, None, None))] == []


@pytest.mark.parametrize("as_of", PAST, ids=str)
def test_a_past_time_is_explained_as_a_whole_rebuild_decides(
    ticked: Home, as_of: datetime, tmp_path: Path, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the models say of one person is what they say when dbt builds them as of that time: run for everybody, and where there
    are too many, cut to the person."""
    with built_by_dbt(ticked, as_of, tmp_path / "scratch") as built:
        truth = Truth(built, as_of)
    chosen = some(truth.users, truth, 50 if is_long else 6, seed=8)

    assert [one for user in chosen for one in truth.disagreements(explain(ticked, user, None, as_of))] == []
    assert truth.decisions
    monkeypatch.setattr(slices, "MOST_ROWS", 0)
    few = chosen[-2:] if is_long else chosen[-1:]
    assert [one for user in few for one in truth.disagreements(explain(ticked, user, None, as_of))] == []


def test_the_funnel_adds_up_to_everybody_and_to_the_verdicts(ticked: Home) -> None:
    """Each campaign: all people once, those qualified as the trigger has them, the verdicts of the tick."""
    truth = Truth(ticked, MORNING)
    for campaign in sorted(ticked.policies):
        answer = funnel(ticked, campaign, None)
        failed = sum(step["failed"] for step in answer["conditions"])
        qualified = {user for user, one in truth.triggered if one == campaign}
        verdicts = [row["verdict"] for (_, one), row in truth.decisions.items() if one == campaign]
        told = [entry["verdict"] for entry in answer["decided"] for _ in range(entry["people"])]

        assert failed + answer["qualified"] == answer["population"] == len(truth.users), campaign
        assert answer["qualified"] == len(qualified), campaign
        assert sorted(told) == sorted(verdicts), campaign
        names = [step["condition"] for step in answer["conditions"][1:]]
        first = {user: next((name for name in names if not rows[0][name]), None)
                 for (user, one), rows in truth.conditions.items() if one == campaign}  # fmt: skip
        for step in answer["conditions"][1:]:
            assert step["failed"] == sum(name == step["condition"] for name in first.values()), step


def test_the_funnel_of_a_past_time_is_that_of_a_whole_rebuild(ticked: Home, tmp_path: Path) -> None:
    with built_by_dbt(ticked, PAST[0], tmp_path / "scratch") as built:
        truth = Truth(built, PAST[0])

    answer = funnel(ticked, "winback", PAST[0])

    assert answer["population"] == len(truth.users)
    assert answer["qualified"] == sum(one == "winback" for _, one in truth.triggered)
    verdicts = sorted(row["verdict"] for (_, one), row in truth.decisions.items() if one == "winback")
    assert sorted(entry["verdict"] for entry in answer["decided"] for _ in range(entry["people"])) == verdicts
