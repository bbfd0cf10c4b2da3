"""What a revision tells models differently is shown with the figures that are on record, and "not recorded" where they aren't."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.commands.diff_report import markdown
from dagster_project.commands.prompt_changes import prompt_changes
from dagster_project.home import Home

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ANSWER = {
    "base": {"revision": "main", "commit": "0" * 40}, "as_of": "2026-09-01T09:00:00Z", "source_pack": "demo",
    "changed_files": [], "campaigns": [], "over": [],
}  # fmt: skip


@pytest.fixture
def other(parsed: Home, tmp_path: Path) -> Callable[[], Home]:
    """The project's templates in a folder that a test may change, opened when it is asked for."""
    shutil.copytree(ROOT / "templates", tmp_path / "templates")

    def opened() -> Home:
        home = Home(parsed.settings.model_copy(update={"project": tmp_path}))
        home.policies = parsed.policies  # a prompt is none of dbt's business
        return home

    return opened


def test_without_a_change_nothing_is_told(parsed: Home, other: Callable[[], Home]) -> None:
    assert prompt_changes(other(), parsed) is None


def test_a_changed_prompt_is_shown_and_its_figures_are_not_on_record(
    parsed: Home, other: Callable[[], Home], tmp_path: Path
) -> None:
    """The other side's are."""
    prompt = tmp_path / "templates" / "prompts" / "writer.md"
    prompt.write_text(f"{prompt.read_text()}\nBe brief.\n")
    found = prompt_changes(parsed, other())
    assert found is not None
    shown = markdown(ANSWER | {"prompts": found})

    assert [one["file"] for one in found["files"]] == ["templates/prompts/writer.md"]
    assert "+Be brief." in found["files"][0]["diff"]
    assert found["evals"]["base"]["contexts"] > 0
    assert (found["evals"]["head"], found["evals"]["difference"]) == (None, None)
    assert "evals of this change: not recorded" in shown
    assert "evals of base: clarity 4." in shown
    assert "+Be brief." in shown


def test_where_both_are_on_record_the_figures_differ(parsed: Home, other: Callable[[], Home], tmp_path: Path) -> None:
    """What follows from a silent reader is asked of nobody: the recording has every answer, and here no reader was silent."""
    classes = tmp_path / "templates" / "prompts" / "classes.yml"
    text = classes.read_text()
    assert "unheard: template" in text
    classes.write_text(text.replace("unheard: template", "unheard: person"))
    found = prompt_changes(other(), parsed)
    assert found is not None

    assert [one["file"] for one in found["files"]] == ["templates/prompts/classes.yml"]
    assert found["evals"]["base"] == found["evals"]["head"]
    assert found["evals"]["difference"]["cases"] == []


def test_a_revision_of_before_there_were_evals_has_no_figures(
    parsed: Home, other: Callable[[], Home], tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "templates" / "evals")
    found = prompt_changes(other(), parsed)
    assert found is not None

    assert (found["files"], found["evals"]["base"]) == ([], None)
