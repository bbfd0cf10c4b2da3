"""A new prompt on trial, asked of a real HTTP server: its share, the same budget, and what `drafts canary` says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project import home as home_module
from dagster_project.commands.canary import canary
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.evals.contexts import cases, messages_of
from dagster_project.lifecycle.message import Draft, PlannedMessage
from tests.http_server import PromptServer
from tests.model_server import PATH, as_json
from tests.record_evals import script

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2026, 9, 1, 9)
CANARY = {
    "name": "brief_writer",
    "share": 0.5,
    "campaigns": ["welcome", "winback"],
    "prompts": {"writer": "writer.brief.md"},
    "most": {"rejected": 1.0, "fell_back": 0.5},
    "least_patterns": 3,
    "difference": 0.1,
}
Opened = Callable[..., Home]


class Server:
    """Answers by the script; `is_down` for whom the new prompt asks."""

    def __init__(self, server: HTTPServer) -> None:
        self.url, self.is_down, self.of_canary, self.calls = server.url_for("/v1"), False, 0, 0
        server.expect_request(PATH, method="POST").respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        is_canary = "Be brief." in request.get_json()["messages"][0]["content"]
        self.of_canary += is_canary
        self.calls += 1
        return as_json({"error": {"message": "no"}}, 400)(request) if is_canary and self.is_down else script(request)


@pytest.fixture
def server() -> Iterator[Server]:
    with PromptServer(host="127.0.0.1", threaded=True) as running:
        yield Server(running)


@pytest.fixture
def opened(parsed: Home, tmp_path: Path, server: Server) -> Opened:
    """A home with the canary on trial and the model on loopback."""
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    prompts = tmp_path / "templates" / "prompts"
    (prompts / "writer.brief.md").write_text(f"{(prompts / 'writer.md').read_text()}\nBe brief.\n")

    def open_(**changes: object) -> Home:
        (prompts / "canary.yml").write_text(yaml.safe_dump(CANARY | changes))
        settings = {"project": tmp_path, "home": tmp_path / "home", "openai_base_url": server.url}
        home = Home(parsed.settings.model_copy(update=settings))
        home.policies = {
            name: policy.model_copy(update={"mode": "assisted"}) if name in CANARY["campaigns"] else policy
            for name, policy in parsed.policies.items()
        }
        return home

    return open_


def messages(home: Home) -> list[PlannedMessage]:
    return [
        message
        for case in cases(home.templates.templates, CANARY["campaigns"])
        if case.mode == "assisted"
        for message in messages_of(
            case, home.writing.eval_contexts, home.templates.get(case.campaign_id, case.variant).spec
        )
    ]


def drafted(home: Home, run_id: str = "run-1") -> list[tuple[Draft, dict]]:
    """Drafts as a run makes them, on record, each with its trial."""
    with home.ledger() as ledger:
        ledger.begin_tick(run_id, AS_OF, "demo")
        ledger.plan(messages(home), run_id, AS_OF, "demo")
        batch = home.draft(messages(home), home.writing.model(ledger, run_id, AS_OF))
        ledger.put_artifacts(batch.artifacts)
        ledger.record_drafts(batch.drafts, run_id, AS_OF)
        assert batch.failures == {}
    return [(one, json.loads(one.trial or "{}")) for one in batch.drafts]


def test_half_of_the_patterns_are_written_by_the_new_prompt_and_both_are_compared(
    opened: Opened, server: Server
) -> None:
    """Everybody of a pattern in one arm; the next run asks nothing; the recipe names the prompt that wrote."""
    home = opened()
    made = drafted(home)
    arms = {trial["pattern"]: trial["arm"] for _, trial in made}

    assert {trial["arm"] for _, trial in made} == {"canary", "standing"}
    assert all(arms[trial["pattern"]] == trial["arm"] for _, trial in made)
    assert server.of_canary > 0
    for draft, trial in made:
        if draft.mode == "assisted":
            assert draft.recipe["prompt"] == trial["prompts"]["writer"]
    told = canary(home)
    assert told["patterns"]["canary"] + told["patterns"]["standing"] == len(arms)
    assert told["messages"]["canary"] == sum(trial["arm"] == "canary" for _, trial in made)
    assert told["stopped"] is None
    with home.ledger() as ledger:
        assert ledger.verify()["ok"]
    calls = server.calls
    assert [(draft.draft_hash, trial) for draft, trial in drafted(home, "run-2")] == [
        (draft.draft_hash, trial) for draft, trial in made
    ]
    assert server.calls == calls


def test_a_canary_that_fails_gives_its_patterns_back_and_stays_stopped(opened: Opened, server: Server) -> None:
    """After three failures in a row; the next run doesn't ask it again, and `drafts canary` says why."""
    server.is_down = True
    home = opened()
    made = drafted(home)
    reasons = {trial["stopped"] for _, trial in made}

    assert server.of_canary == 3
    assert reasons == {None, "canary_stopped:fell_back 3 of 3"}
    assert all(
        draft.mode == "assisted" or draft.fallback_reason != "refused" or trial["arm"] == "canary"
        for draft, trial in made
    )
    put_back = [draft for draft, trial in made if trial["stopped"]]
    assert any(draft.mode == "assisted" for draft in put_back), "the standing prompt writes for them"
    assert canary(home)["stopped"] == "canary_stopped:fell_back 3 of 3"
    drafted(home, "run-2")
    assert server.of_canary == 3


def test_a_canary_spends_from_the_same_budget(opened: Opened, server: Server) -> None:
    home = opened()
    home.settings.model_calls_per_run = 9
    drafted(home)

    assert server.calls <= 9


def test_the_command_shows_it_and_refuses_where_nothing_is_on_trial(
    opened: Opened, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = opened()
    monkeypatch.setattr("dagster_project.commands.settings.open_home", lambda *_: home)
    monkeypatch.setattr(home_module, "_latest", home)
    code, out, err = call("drafts", "canary")

    assert (code, err) == (0, "")
    assert "brief_writer" in out
    assert "rejected" in out
    (home.settings.project / "templates" / "prompts" / "canary.yml").unlink()
    del home.writing.canary
    code, out, err = call("drafts", "canary")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "postrider: drafts canary: found no templates/prompts/canary.yml, allowed: one that says what is tried, on which share"
    ]


def test_a_campaign_or_prompt_that_nobody_has_is_refused(opened: Opened) -> None:
    with pytest.raises(InputError, match=r"canary\.yml: campaigns: found winbck, allowed are churn_risk"):
        _ = opened(campaigns=["winbck"]).writing.canary
    with pytest.raises(InputError, match=r"templates/prompts/none\.md: found no such file"):
        _ = opened(prompts={"writer": "none.md"}).writing.canary_arm
