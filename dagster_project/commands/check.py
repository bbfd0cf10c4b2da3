"""`postrider check`: everything that can be wrong before a tick, looked at without running one."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dagster_project.commands.controls import roster
from dagster_project.commands.settings import setting_names
from dagster_project.home import Home
from dagster_project.lifecycle.campaign import json_schema
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import form_problem
from dagster_project.settings import Settings

TRIGGERS = "path:models/intermediate/score/triggers"
SCHEMA = "dbt_project/campaign.schema.json"


def check(home: Home, with_settings: bool) -> dict[str, Any]:
    """Counts of what was looked at, and one line for each problem. The campaigns' JSON schema is written for editors.

    One part that can't be read doesn't hide the problems of the others.
    """
    problems: list[str] = []
    checked: dict[str, int] = {}
    for name, look in (
        ("campaign policies", _policies),
        ("triggers on the roster", _roster),
        ("triggers that can be explained", _forms),
        ("templates", _templates),
        ("limits", _limits),
    ):
        try:
            checked[name], found = look(home)
        except InputError as error:
            found = [str(error)]
        problems += [problem for problem in found if problem not in problems]
    answer: dict[str, Any] = {"ok": not problems, "checked": checked, "problems": problems, "warnings": _warnings()}
    return answer | ({"settings": _settings(home.settings)} if with_settings else {})


def _policies(home: Home) -> tuple[int, list[str]]:
    schema = json.dumps(json_schema(), indent=2) + "\n"
    written = home.settings.project / SCHEMA
    if not written.exists() or written.read_text() != schema:
        written.write_text(schema)
    return len(home.policies), []


def _roster(home: Home) -> tuple[int, list[str]]:
    live = roster(home)
    problems = [
        f"int_triggers__{name}: not on the roster; add its line to int_candidates_unioned or remove it"
        for name in sorted(set(home.policies) - live)
    ]
    return len(live), problems


def _forms(home: Home) -> tuple[int, list[str]]:
    """Each trigger as `explain` will ask it. Compiled beside a scratch warehouse: this home's may be in use."""
    with tempfile.TemporaryDirectory(prefix="postrider-") as folder:
        scratch = Home(home.settings.model_copy(update={"home": Path(folder)})).models
        scratch.adopt(home.models)
        compiled = scratch.compiled([TRIGGERS], home.default_as_of())
    problems = {name: form_problem(name, sql) for name, sql in sorted(compiled.items())}
    found = [problem for problem in problems.values() if problem]
    return len(problems) - len(found), found


def _templates(home: Home) -> tuple[int, list[str]]:
    campaigns = home.templates.campaigns
    problems = [
        f"templates/emails/{name}: no campaign by this name; allowed are {', '.join(home.policies)}"
        for name in sorted(set(campaigns) - set(home.policies))
    ]
    return len(campaigns), problems + home.template_problems()


def _limits(home: Home) -> tuple[int, list[str]]:
    flow = home.flow
    return len(flow.channels) + len(flow.domains) + len(flow.warm_up), []


def _warnings() -> list[str]:
    """Imports without bytecode are two to three times slower; a run of 25 s becomes one of 40."""
    dagster = importlib.util.find_spec("dagster")
    cached = Path(importlib.util.cache_from_source(dagster.origin)) if dagster and dagster.origin else None
    if os.environ.get("PYTHONDONTWRITEBYTECODE") and cached and not cached.exists():
        return ["PYTHONDONTWRITEBYTECODE is set and the libraries aren't compiled: every start takes twice as long"]
    return []


def _settings(settings: Settings) -> dict[str, str]:
    """Every setting by its name in the environment; a secret shows only whether it is set."""
    shown = {}
    for variable, name in setting_names().items():
        value = getattr(settings, name)
        shown[variable] = "********" if isinstance(value, SecretStr) else "" if value is None else str(value)
    return shown
