"""`postrider drafts eval`: the shipped recording is whole, says nothing of anybody, and a changed prompt is told and not asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project import home as home_module
from dagster_project.adapters.cassette import read_cassette
from dagster_project.commands.evals import Asked, evaluate
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from tests.model_server import WELL

ROOT = Path(__file__).parents[2]
EVALS = ROOT / "templates" / "evals"
SHIPPED = EVALS / "cassette.jsonl"
Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.slow


@pytest.fixture
def told(parsed: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same home for the command line, which opens it by the environment."""
    monkeypatch.setenv("POSTRIDER_HOME", str(parsed.path))
    monkeypatch.setattr(home_module, "_latest", parsed)
    return parsed


def test_the_shipped_recording_is_whole_and_its_report_is_the_shipped_one(parsed: Home) -> None:
    """Every case replays without a model, to the figures that git has: else `make cassette` was forgotten."""
    report = evaluate(parsed, Asked(cassette=SHIPPED))
    kept = json.loads((EVALS / "baseline.json").read_text())

    assert {name: report[name] for name in kept} == kept, "make cassette records anew, and writes the report"
    difference = report["difference"]
    assert (difference["inputs"], difference["all"], difference["cases"]) == ({}, {}, [])
    assert "no real model" in report["answered_by"]
    assert not parsed.outbox.exists()
    total = report["all"]
    assert total["by_model"] + sum(total["fallbacks"].values()) == total["contexts"]
    assert total["not_drafted"] == {}
    assert {word.split(":")[0] for word in total["rejections"]} == {"guard", "reviewer", "policy"}
    assert total["repairs"] > 0
    assert set(total["roles"]) == {"writer", "reviewer", "policy"}
    assert all(one["dollars"] > 0 for one in total["roles"].values())


def test_nothing_of_anybody_is_in_the_recording(parsed: Home) -> None:
    """No name, company or hostile word of a context; its answers are the script's sentences."""
    recorded = SHIPPED.read_text(encoding="utf-8")
    personal = {
        str(value)
        for one in parsed.writing.eval_contexts.contexts
        for value in [one.text, *one.facts.values()]
        if isinstance(value, str) and len(value) > 2
    }

    assert len(personal) > 6
    assert [value for value in personal if value in recorded] == []
    texts = [line["answer"] for line in read_cassette(SHIPPED).lines.values() if line["role"] == "writer"]
    assert {
        locale for locale, words in WELL.items() if any(words in text for one in texts for text in one.values())
    } == set(WELL)


def test_one_campaign_in_one_locale_is_asked_for_alone(told: Home, call: Call) -> None:
    code, out, _ = call(
        "drafts", "eval", "--cassette", SHIPPED, "--campaign", "trial_ending", "--locale", "ja", "--json"
    )
    report = json.loads(out)

    assert code == 0
    assert [(row["campaign_id"], row["variant"], row["mode"], row["locale"]) for row in report["cases"]] == [
        ("trial_ending", "default", "assisted", "ja"),
        ("trial_ending", "short", "assisted", "ja"),
    ]
    assert report["difference"]["only_in_base"] == []


def test_a_passed_threshold_is_a_no(told: Home, call: Call) -> None:
    code, out, err = call(
        "drafts",
        "eval",
        "--cassette",
        SHIPPED,
        "--campaign",
        "welcome",
        "--fail-below",
        "clarity=5",
        "--fail-above",
        "calls=9999",
    )

    assert code == 1
    assert "welcome default assisted" in err
    assert "✗" in out
    assert all(len(line) <= 110 for line in out.splitlines() if not line.startswith("models")), (
        "a table fits the screen"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [],
            "drafts eval: found no OPENAI_API_KEY and no OPENAI_BASE_URL, allowed: a model that can be asked, or --cassette",
        ),
        (["--cassette", SHIPPED, "--record", "x"], "drafts eval: found --cassette and --record, allowed: one of them"),
        (["--cassette", "none.jsonl"], "none.jsonl: found no such file, allowed: a recording"),
        (
            ["--cassette", SHIPPED, "--campaign", "terms_update"],
            "--campaign terms_update: no template that a model writes for",
        ),
        (["--cassette", SHIPPED, "--locale", "xx"], "--locale xx: no template"),
        (["--cassette", SHIPPED, "--base", "none.json"], "--base none.json: found"),
        (
            ["--cassette", SHIPPED, "--fail-below", "charm=1"],
            "--fail-below charm=1: found 'charm=1', allowed: measure=number",
        ),
    ],
)
def test_what_is_wrong_with_the_call_is_one_line(told: Home, call: Call, arguments: list[object], said: str) -> None:
    code, out, err = call("drafts", "eval", *arguments)

    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(f"postrider: {said}")


def test_a_changed_prompt_is_another_version_and_is_not_asked(parsed: Home, tmp_path: Path) -> None:
    """The recording has no answer to it, and says so."""
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    prompt = tmp_path / "templates" / "prompts" / "writer.md"
    prompt.write_text(prompt.read_text() + "\nBe brief.\n")
    changed = Home(parsed.settings.model_copy(update={"project": tmp_path}))
    changed.policies = parsed.policies  # a prompt is none of dbt's business

    with pytest.raises(InputError, match=r"found no answer of the writer for churn_risk to prompt"):
        evaluate(changed, Asked(cassette=SHIPPED))
