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
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new, 1))
    home = make_home(project=project)

    refused(call("run"), *words)
    untouched(home)
    code, out, _ = call("check", "--json")
    assert code == 1
    assert any(words[-1] in problem for problem in json.loads(out)["problems"])


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        ("template folder gone", ["templates/emails/welcome", "default"]),
        ("roster line for no model", ["int_triggers__birthday"]),
        ("policy gone", ["int_triggers__welcome"]),
        ("YAML for no model", ["int_triggers__birthday"]),
        ("the same key twice", ["template.yml", "facts"]),
        ("broken SQL", ["int_triggers__welcome.sql"]),
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
