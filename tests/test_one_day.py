"""The whole of Postrider, from telemetry to mails in the outbox, over one day."""

from __future__ import annotations

import email
import email.policy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dagster_project.commands.explain import explain
from dagster_project.commands.run import Report
from dagster_project.home import Home
from dagster_project.lifecycle.planning import routes
from dagster_project.lifecycle.stages import STAGES

pytestmark = pytest.mark.slow

Tick = Callable[..., Report]
MORNING = datetime(2026, 9, 1, 9)


def outbox(home: Home) -> list[Path]:
    return sorted(home.outbox.rglob("*.eml"))


def verified(home: Home) -> bool:
    with home.ledger() as ledger:
        answer = ledger.verify()
    assert answer["ok"], answer
    return True


def test_a_day_in_the_life_of_the_demo_company(make_home: Callable[..., Home], tick: Tick) -> None:
    """The first tick mails, the same tick again mails nobody, the next hour mails only what is due."""
    home = make_home()

    first = tick(home)

    assert first.error is None
    assert list(first.stages) == list(STAGES)
    assert {gate["stage"] for gate in first.gates} >= set(STAGES)
    assert all(gate["passed"] for gate in first.gates)
    assert first.deliveries["sent"] == len(outbox(home)) > 10
    assert sum(first.verdicts.values()) == first.stages["decide"]["candidates"] == first.stages["score"]["candidates"]
    assert sum(first.reasons.values()) == sum(first.verdicts.values())
    assert verified(home)

    again = tick(home)

    assert again.error is None
    assert again.decisions_hash == first.decisions_hash
    assert again.deliveries == {}
    assert len(outbox(home)) == first.deliveries["sent"]

    sent_before = {path.stem for path in outbox(home)}
    later = tick(home, MORNING + timedelta(hours=1))

    assert later.error is None
    sent_now = {path.stem for path in outbox(home)} - sent_before
    assert len(sent_now) == later.deliveries.get("sent", 0)
    assert verified(home)
    with home.ledger() as ledger:
        messages = {message.message_id: message for message in ledger.messages()}
    assert {messages[key].planned_as_of for key in sent_now} <= {MORNING + timedelta(hours=1)}

    to_whom(home, outbox(home))
    the_story_is_whole(home, outbox(home)[0].stem)


def to_whom(home: Home, mails: list[Path]) -> None:
    """Nobody internal, suppressed or without consent; each mail goes to the address that was decided."""
    with home.ledger() as ledger:
        addressed = {message.message_id: message.email for message in ledger.messages()}
    for path in mails:
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)
        assert str(mail["To"]) == addressed[path.stem]
        assert "@ledgerline.example" not in str(mail["To"])
        assert mail.get_body(("plain",)) is not None
        assert mail.get_body(("html",)) is not None
    refused = home.warehouse.rows(
        """
        select verdicts.user_id from int_verdicts as verdicts
        inner join int_users_enriched as users on verdicts.user_id = users.user_id
        where verdicts.verdict = 'send' and (users.is_internal or users.is_bot)
        """
    )
    assert refused == []


def the_story_is_whole(home: Home, message_id: str) -> None:
    """From a mail in the outbox back to the decision, its conditions and rules, and the recipe behind every word."""
    with home.ledger() as ledger:
        (message,) = ledger.messages(message_ids=[message_id])
        recipe = ledger.story(message_id)["recipe"]
        for part in ("template", "layout"):
            assert ledger.artifact(recipe[part])
    answer = explain(home, message.user_id, message.campaign_id, message.planned_as_of)
    (campaign,) = answer["campaigns"]
    assert campaign["qualified"]
    assert all(condition["value"] for condition in campaign["conditions"])
    assert len(campaign["rules"]) == 18
    assert not any(rule["is_blocked"] for rule in campaign["rules"])
    assert campaign["message"]["message_id"] == message_id
    json.dumps(answer, default=str)


def test_equal_data_and_time_give_equal_decisions(
    make_home: Callable[..., Home], tick: Tick, tmp_path: Path, first_tick: tuple[Path, Report], is_long: bool
) -> None:
    """Fresh homes: the same hash over every candidate's verdict with one thread, two and four; with --long five times each."""
    runs = 5 if is_long else 1
    hashes = {
        tick(make_home(home=tmp_path / f"home{threads}-{run}", threads=threads)).decisions_hash
        for run in range(runs)
        for threads in ((1, 2, 4) if is_long else (1, 4))
    } | {first_tick[1].decisions_hash}  # that of two threads

    assert len(hashes) == 1
    assert None not in hashes


def test_a_draft_in_review_goes_out_only_after_a_persons_word(make_ticked: Callable[..., Home], tick: Tick) -> None:
    """Approved drafts leave with the next tick; an edit asks for a new approval; a rejected one never leaves."""
    home = make_ticked()
    from dagster_project.commands.review import decide, edit, waiting

    held = [entry for entry in waiting(home)["waiting"] if entry["campaign_id"] == "churn_risk"]
    assert len(held) >= 3
    approved, rejected, changed = (entry["message_id"] for entry in held[:3])
    assert not {path.stem for path in outbox(home)} & {approved, rejected, changed}

    decide(home, [approved, changed], "approve", "ana", "reads well")
    decide(home, [rejected], "reject", "ana", "wrong tone")
    edit(home, changed, "ben", "A calmer subject", [], "calmer")
    report = tick(home, MORNING + timedelta(hours=1))

    assert report.error is None
    sent = {path.stem for path in outbox(home)}
    assert approved in sent
    assert rejected not in sent
    assert changed not in sent
    assert verified(home)


def test_controls_and_suppressions_hold_at_once(make_home: Callable[..., Home], tick: Tick) -> None:
    """A killed home sends nothing and says so for every candidate; a suppressed person is out for good."""
    home = make_home()
    with home.ledger() as ledger:
        ledger.kill("ana", "drill")

    killed = tick(home)

    assert killed.error is None
    assert killed.verdicts.get("send", 0) == 0
    assert killed.reasons["killed"] > 0
    assert outbox(home) == []
    with home.ledger() as ledger:
        ledger.resume(None, "ana", "drill over")
        ledger.pause("welcome", "ana", "typo")

    paused = tick(home, MORNING + timedelta(hours=1))

    assert paused.campaigns["welcome"].get("send", 0) == 0
    assert paused.deliveries["sent"] > 0
    assert verified(home)


def test_two_hosts_tick_at_the_same_hour(
    make_home: Callable[..., Home], tick: Tick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql_url: str
) -> None:
    """A whole tick of another host passes between a tick's look at its drafts and its word on them: both end well, nobody is
    mailed twice."""
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE two_hosts")
    ledger_url = postgresql_url.rpartition("/")[0] + "/two_hosts"
    home = make_home(ledger_url=ledger_url, home=tmp_path / "slow", secret_keys="a" * 64)  # or their links would differ
    other: list[Any] = []

    def held_up(*arguments: Any) -> dict[str, Any]:
        command = [sys.executable, "-m", "dagster_project.cli", "run", "--json"]
        environment = os.environ | {"POSTRIDER_HOME": str(tmp_path / "fast")}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        other.append(json.loads(run.stdout))
        return routes(*arguments)

    monkeypatch.setattr("dagster_project.defs.review.routes", held_up)
    mine = tick(home)

    assert (mine.error, other[0]["error"]) == (None, None)
    assert mine.decisions_hash == other[0]["decisions_hash"]
    assert other[0]["deliveries"]["sent"] == len(list((tmp_path / "fast" / "outbox").rglob("*.eml"))) > 10
    assert outbox(home) == []
    assert verified(home)


def test_the_same_day_with_the_ledger_on_postgresql(
    make_home: Callable[..., Home], tick: Tick, postgresql_url: str
) -> None:
    """By URL alone: the same mails, the same decisions, nobody twice, and the record holds."""
    home = make_home(ledger_url=postgresql_url)

    first = tick(home)

    assert first.error is None
    assert first.deliveries["sent"] == len(outbox(home)) > 10
    again = tick(home)
    assert again.error is None
    assert (again.deliveries, again.decisions_hash) == ({}, first.decisions_hash)
    assert len(outbox(home)) == first.deliveries["sent"]
    assert verified(home)
    assert not (home.path / "ledger.sqlite").exists()
