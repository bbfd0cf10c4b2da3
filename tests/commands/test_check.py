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
    assert answer["checked"].pop("models that can be built") > 60
    assert answer["checked"] == {
        "campaign policies": 11,
        "triggers on the roster": 11,
        "triggers that can be explained": 11,
        "ends of sequences": 3,
        "values of campaigns": 9,
        "templates": 11,
        "translations": 5,
        "mails": 11,
        "instructions for models": 3,
        "articles of knowledge": 25,
        "limits": 0,
    }
    shown = str(answer["settings"])
    assert "OPENAI_API_KEY" in shown
    assert "sk-secret" not in shown


def test_a_mail_that_would_be_cancelled_for_its_words_is_found_before_it_is_sent(
    make_home: Callable[..., Home], project: Path
) -> None:
    """One line each: the file, the rule, what was found, what is allowed. In production the example's links lead nowhere."""
    welcome = project / "templates/emails/welcome/default"
    replaced(welcome / "body.txt.j2", "Stuck", "*|FNAME|*, stuck")
    replaced(welcome / "template.yml", "app.ledgerline.example", "app.shop.com")
    replaced(project / "templates/layouts/default.txt.j2", "{{ postal_address }}", "")
    sender = {"sender": "Shop <hello@shop.com>", "public_url": "https://mail.shop.com"}

    answer = check(make_home(project=project, env="production", **sender), with_settings=False)

    mails = [line for line in answer["problems"] if "production" in line or "welcome" in line]
    link = (
        "reserved_link: found app.ledgerline.example, allowed: a link in production leads to a host that can be reached"
    )
    assert len([line for line in mails if line.endswith(f"/default/template.yml: {link}")]) == 10
    assert (
        "templates/emails/welcome/default/body.txt.j2: placeholder: found *|FNAME|*, "
        "allowed: no placeholder is left in subject, words or links"
    ) in mails
    assert (
        "templates/emails/welcome/default: postal_address: found none in the text, "
        "allowed: the postal address stands in both parts"
    ) in mails


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("sender", "nobody", "POSTRIDER_SENDER"),
        ("postal_address", " ", "POSTRIDER_POSTAL_ADDRESS"),
        ("public_url", "http://mail.shop.com", "POSTRIDER_PUBLIC_URL"),
        ("env", "production", "with these settings no mail may leave: a mail in production comes from a domain"),
    ],
)
def test_a_setting_under_which_no_mail_could_leave_is_one_problem(
    make_home: Callable[..., Home], setting: str, value: str, words: str
) -> None:
    """Not one for each template."""
    (problem,) = check(make_home(**{setting: value}), with_settings=False)["problems"]

    assert problem.startswith(words)


def test_a_variant_without_a_folder_is_found(make_home: Callable[..., Home], project: Path) -> None:
    replaced(project / TRIGGERS / "int_triggers__welcome.yml", "variants: {default: 1}", "variants: {default: 1, b: 1}")

    answer = check(make_home(project=project), with_settings=False)

    assert answer["problems"] == ["templates/emails/welcome/b: found no such folder, allowed: variants default"]


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


def test_sql_that_the_engine_would_refuse_is_found_without_a_row(make_home: Callable[..., Home], project: Path) -> None:
    """By its file; what reads that model is not blamed for it. Of a trigger the condition is named that is no boolean."""
    replaced(
        project / "dbt_project/models/intermediate/decide/int_usual_hours.sql",
        "days_per_user.n_days",
        "days_per_user.n_daze",
    )
    trigger = project / TRIGGERS / "int_triggers__winback.sql"
    replaced(trigger, "activated_at is not null as is_activated", "days_since_signup as is_activated")

    answer = check(make_home(project=project), with_settings=False)

    broken, odd = sorted(answer["problems"])
    assert broken.startswith("dbt_project/models/intermediate/decide/int_usual_hours.sql: Binder Error")
    assert odd == "int_triggers__winback: condition is_activated is integer; allowed is boolean: true, false or null"


def test_without_data_no_model_is_tried(make_home: Callable[..., Home], tmp_path: Path) -> None:
    answer = check(make_home(data=tmp_path / "nowhere"), with_settings=False)

    assert (answer["problems"], answer["checked"]["models that can be built"]) == ([], 0)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (f"{TRIGGERS}/int_triggers__welcome.yml", "mode:", "mood:", ["int_triggers__welcome.yml", "mood"]),
        (
            f"{TRIGGERS}/int_triggers__welcome.yml", "exit_when: activated_at is", "exit_when: acivated_at is",
            ["int_triggers__welcome: config.meta.campaign.sequence.exit_when: found unknown column 'acivated_at'"],
        ),
        (
            f"{TRIGGERS}/int_triggers__welcome.yml", "* (1 - setup_steps_done", "* (1 - setup_step_done",
            ["int_triggers__welcome: config.meta.campaign.value: found unknown column 'setup_step_done'"],
        ),
        (
            f"{TRIGGERS}/int_triggers__winback.yml", "          value:", "          value: case when seats > 1 then plan end #",
            ["int_triggers__winback: config.meta.campaign.value: found 'case when seats > 1 then plan end', which is varchar"],
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
    ids=["policy key", "unknown column of an exit", "unknown column of a value", "text of a value", "step taken twice", "undefined variable"],
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
