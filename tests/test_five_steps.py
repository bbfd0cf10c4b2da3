"""The README's five steps add a campaign: its own code blocks, written to the files it names, and no Python touched."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.commands.check import check
from dagster_project.commands.explain import explain
from dagster_project.commands.preview import preview
from dagster_project.commands.run import Report
from dagster_project.home import Home

ROOT = Path(__file__).parent.parent
STEP = re.compile(r"`((?:dbt_project|templates)/[^`]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)


def readme_files() -> list[tuple[str, str]]:
    """(path, content) of each block of the README's section on campaigns."""
    section = (ROOT / "README.md").read_text().split("## Add a campaign in five steps")[1].split("\n## ")[0]
    return STEP.findall(section)


def python_files() -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("dagster_project", "expectations")
        for path in (ROOT / folder).rglob("*.py")
    }


@pytest.mark.slow
def test_the_readmes_five_steps_add_a_campaign(
    make_home: Callable[..., Home], tick: Callable[..., Report], project: Path
) -> None:
    """Six new files and two lines on the roster; afterwards it is checked, mailed, previewed and explained."""
    before = python_files()
    files = readme_files()
    assert len(files) == 7
    for path, content in files:
        file = project / path
        if file.exists():  # the roster, which gets more lines
            content = file.read_text() + content
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    home = make_home(project=project)

    answer = check(home, with_settings=False)
    assert answer["problems"] == []
    assert answer["checked"]["campaign policies"] == 12

    report = tick(home)
    assert report.error is None
    assert report.campaigns["report_habit"]["send"] > 0
    with home.ledger() as ledger:
        mailed = [m for m in ledger.messages(("sent",)) if m.campaign_id == "report_habit"]
    assert {m.message_id for m in mailed} <= {path.stem for path in home.outbox.rglob("*.eml")}
    assert mailed

    shown = preview(home, "report_habit", None, "default", None)
    assert re.fullmatch(r"\d+ days with your numbers this month", shown["subject"])
    assert all(Path(file).stat().st_size for file in shown["files"])

    (campaign,) = explain(home, mailed[0].user_id, "report_habit", None)["campaigns"]
    assert [condition["name"] for condition in campaign["conditions"]] == ["is_here_most_days", "is_activated"]
    assert (campaign["qualified"], campaign["verdict"]) == (True, "send")
    assert python_files() == before
