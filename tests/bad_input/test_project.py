"""Wrong files of the project: an analytics engineer's slip is told with its file and key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.home import Home

pytestmark = pytest.mark.slow  # each reads the dbt project anew

Answer = tuple[int, str, str]
Call = Callable[..., Answer]
Refused = Callable[..., None]
Untouched = Callable[[Home], None]
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "holdout_share:",
            "holdout_shre:",
            ["int_triggers__winback.yml", "holdout_shre", "holdout_share"],
            id="unknown policy key",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "          priority: 20",
            "          priority: 20\n          priority: 90",
            ["int_triggers__winback.yml:20", "priority twice"],
            id="the same policy key twice",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "          priority: 20",
            "\t  priority: 20",
            ["int_triggers__winback.yml", "tab"],
            id="a tab",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "holdout_share: 0.1",
            "holdout_share: 1.5",
            ["int_triggers__winback.yml", "holdout_share: found 1.5", "from 0 to 0.5"],
            id="a share above what is allowed",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "rollout_percent: 100",
            "rollout_percent: 101",
            ["int_triggers__winback.yml", "rollout_percent: found 101", "from 0 to 100"],
            id="more than everybody",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "quota_per_run: null",
            "quota_per_run: 0",
            ["int_triggers__winback.yml", "quota_per_run: found 0", "from 1 to"],
            id="a quota of nothing",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "variants: {default: 1}",
            "variants: {default: 0}",
            ["int_triggers__winback.yml", "variants", "found 0", "weights above 0"],
            id="a weight of nothing",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "event_kind: session",
            "event_kind: smile",
            ["int_triggers__winback.yml", "kpi.event_kind: found 'smile'", "one of signup, session"],
            id="unknown KPI",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__setup_stalled.yml",
            "wait_days: 2",
            "wait_days: -1",
            ["int_triggers__setup_stalled.yml", "sequence.wait_days: found -1", "from 0 to 365"],
            id="a wait back in time",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__setup_stalled.yml",
            "step: 2",
            "step: 3",
            ["sequence.step", "steps 1 (welcome), 3 (first_value), 3 (setup_stalled)", "1 to 3, one campaign each"],
            id="a step that is taken twice, which would be a circle",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "variants: {default: 1}",
            "variants: {loud: 1}",
            ["templates/emails/winback/loud", "found no such folder"],
            id="unknown template",
        ),
        pytest.param(
            "dbt_project/models/intermediate/enrich/int_users_enriched.sql",
            "with ",
            "with looked_at as (select * from {{ ref('int_triggers__winback') }}),\n",
            ["int_users_enriched", "→ int_triggers__winback", "no circle"],
            id="models that are made of each other",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "value: 0.02 *",
            "value: random() *",
            ["int_triggers__winback.yml", "config.meta.campaign.value", "RANDOM()"],
            id="value by chance",
        ),
        pytest.param(
            "dbt_project/dbt_project.yml",
            "arbitration: value",
            "arbitration: worth",
            ["vars.arbitration: found worth", "value, priority, first_come"],
            id="unknown arbitration",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "models:",
            "models: [",
            ["int_triggers__winback.yml"],
            id="malformed YAML",
        ),
        pytest.param(
            "templates/emails/winback/default/body.txt.j2",
            "{{",
            "{{ nobody_knows }} {{",
            ["templates/emails/winback/default/body.txt.j2", "nobody_knows"],
            id="undefined variable",
        ),
        pytest.param(
            "templates/emails/winback/default/body.mjml.j2",
            "{{",
            "{{ (( {{",
            ["templates/emails/winback/default/body.mjml.j2"],
            id="malformed template",
        ),
        pytest.param(
            "templates/emails/winback/default/template.yml",
            "facts:",
            "fax:",
            ["templates/emails/winback/default/template.yml", "fax"],
            id="unknown template key",
        ),
    ],
)
def test_a_wrong_file_of_the_project_is_named(
    call: Call,
    make_home: Callable[..., Home],
    project: Path,
    file: str,
    old: str,
    new: str,
    words: list[str],
    refused: Refused,
    untouched: Untouched,
) -> None:
    """An analytics engineer's slip: the file, and the key or name in it."""
    replaced(project / file, old, new, times=1)
    home = make_home(project=project)

    refused(call("run"), *words)
    untouched(home)


def test_check_finds_the_mistakes_of_all_parts_at_once(
    call: Call, make_home: Callable[..., Home], project: Path
) -> None:
    """One that stops the reading of one part hides nothing of the others."""
    replaced(project / "dbt_project/dbt_project.yml", "arbitration: value", "arbitration: worth")
    replaced(project / "templates/emails/winback/default/body.txt.j2", "{{", "{{ nobody_knows }} {{", times=1)
    replaced(project / "templates/knowledge/product/alerts.md", "kind:", "kynd:", times=1)
    (project / "templates/prompts/canary.yml").write_text("name: brief\nshare: 0.7\n")
    make_home(project=project)

    code, out, _ = call("check", "--json")

    problems = json.loads(out)["problems"]
    assert code == 1
    for words in ("found worth", "nobody_knows", "kynd", "canary.share: found 0.7"):
        assert any(words in problem for problem in problems), (words, problems)


def replaced(file: Path, old: str, new: str, times: int = -1) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, times))


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        ("template folder gone", ["templates/emails/welcome", "default"]),
        ("roster line for no model", ["int_triggers__birthday"]),
        ("policy gone", ["int_triggers__welcome"]),
        ("YAML for no model", ["int_triggers__birthday"]),
        ("the same key twice", ["template.yml", "facts"]),
        ("broken SQL", ["int_triggers__welcome.sql"]),
        ("two models of one name", ["two models", "int_triggers__welcome"]),
        ("no conditions", ["int_triggers__welcome", "no CTE named `conditions`"]),
        ("a condition that is a time", ["int_triggers__welcome: condition is_activated is timestamp", "boolean"]),
    ],
)
def test_a_part_that_is_missing_or_twice_is_named(
    call: Call, make_home: Callable[..., Home], project: Path, slip: str, words: list[str], untouched: Untouched
) -> None:
    """`check` and `run` both say no; what only building shows stops the tick with the model's file."""
    triggers = project / "dbt_project/models/intermediate/score/triggers"
    template = project / "templates/emails/welcome/default/template.yml"
    if slip == "template folder gone":
        shutil.rmtree(template.parent)
    elif slip == "roster line for no model":
        roster = project / "dbt_project/models/intermediate/score/int_candidates_unioned.sql"
        roster.write_text(roster.read_text().replace("int_triggers__welcome", "int_triggers__birthday"))
    elif slip == "policy gone":
        (triggers / "int_triggers__welcome.yml").unlink()
    elif slip == "YAML for no model":
        yml = triggers / "int_triggers__welcome.yml"
        yml.with_stem("int_triggers__birthday").write_text(yml.read_text().replace("__welcome", "__birthday"))
    elif slip == "the same key twice":
        template.write_text(template.read_text() + "\nfacts: {}\n")
    elif slip == "two models of one name":
        (triggers / "more").mkdir()
        shutil.copy(triggers / "int_triggers__welcome.sql", triggers / "more")
    elif slip == "no conditions":
        replaced(triggers / "int_triggers__welcome.sql", "conditions", "considered")
    elif slip.startswith("a condition"):
        odd = "activated_at as is_activated"
        replaced(triggers / "int_triggers__welcome.sql", "    from users", f"        , {odd}\n    from users")
        with (triggers / "int_triggers__welcome.sql").open("a") as file:
            file.write("and is_activated\n")
    else:
        (triggers / "int_triggers__welcome.sql").write_text("with conditions as (selec 1) select * from conditions")
    home = make_home(project=project)

    code, _, err = call("run")
    lines = [line for line in err.splitlines() if line.startswith("postrider: ")]
    assert code in (1, 2) if slip == "broken SQL" else code == 2
    assert len(lines) == 1
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0], lines[0]
    untouched(home)
    assert call("check")[0] == 1
