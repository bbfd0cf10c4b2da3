"""`check` finds what would go wrong in a tick, each in one line, all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.commands.check import check
from dagster_project.home import Home

pytestmark = pytest.mark.slow

TRIGGERS = "dbt_project/models/intermediate/score/triggers"


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_project_that_ships_is_well(make_home: Callable[..., Home]) -> None:
    answer = check(make_home(openai_api_key="sk-secret-1234567890"), with_settings=True)

    assert answer["problems"] == []
    assert answer["checked"] == {
        "campaign policies": 11,
        "triggers on the roster": 11,
        "triggers that can be explained": 11,
        "ends of sequences": 3,
        "templates": 11,
        "limits": 0,
    }
    shown = str(answer["settings"])
    assert "OPENAI_API_KEY" in shown
    assert "sk-secret" not in shown


def test_several_problems_are_told_at_once(make_home: Callable[..., Home], project: Path) -> None:
    """A trigger off the roster, one whose `where` leaves a condition out, a template for nobody, one that asks for too much."""
    roster = project / "dbt_project/models/intermediate/score/int_candidates_unioned.sql"
    lines = [line for line in roster.read_text().splitlines() if "winback" not in line]
    roster.write_text("\n".join(lines) + "\n")
    trigger = project / TRIGGERS / "int_triggers__setup_stalled.sql"
    last = trigger.read_text().rstrip().splitlines()[-1]
    replaced(trigger, last, last.rpartition(" and ")[0] if " and " in last else "")
    (project / "templates/emails/welcome").rename(project / "templates/emails/welcome_home")

    answer = check(make_home(project=project), with_settings=False)

    assert not answer["ok"]
    told = "\n".join(answer["problems"])
    assert "int_triggers__winback: not on the roster" in told
    assert "int_triggers__setup_stalled: the last where leaves out" in told
    assert "welcome_home: no campaign by this name" in told
    assert all("\n" not in problem for problem in answer["problems"])
    assert str(project.parent) not in told


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (f"{TRIGGERS}/int_triggers__welcome.yml", "mode:", "mood:", ["int_triggers__welcome.yml", "mood"]),
        (
            f"{TRIGGERS}/int_triggers__welcome.yml", "exit_when: activated_at is", "exit_when: acivated_at is",
            ["int_triggers__welcome: config.meta.campaign.sequence.exit_when: found unknown column 'acivated_at'"],
        ),
        (
            f"{TRIGGERS}/int_triggers__first_value.yml", "step: 3", "step: 2",
            ["sequence.step: found steps 1 (welcome), 2 (first_value), 2 (setup_stalled) in sequence 'onboarding'"],
        ),
        (
            "templates/emails/welcome/default/subject.txt.j2", "{{", "{{ no_such_fact }} {{",
            ["welcome", "no_such_fact"],
        ),
    ],
    ids=["policy key", "unknown column of an exit", "step taken twice", "undefined variable"],
)  # fmt: skip
def test_a_mistake_is_named_with_its_file(
    make_home: Callable[..., Home], project: Path, file: str, old: str, new: str, words: list[str]
) -> None:
    path = project / file
    text = path.read_text()
    path.write_text(
        text.replace(old, new, 1) if old in text else new.replace("{{ no_such_fact }} {{", "{{ no_such_fact }}") + text
    )

    answer = check(make_home(project=project), with_settings=False)

    assert not answer["ok"]
    assert any(all(word in problem for word in words) for problem in answer["problems"]), answer["problems"]
