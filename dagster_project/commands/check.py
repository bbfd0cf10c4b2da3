"""`postrider check`: everything that can be wrong before a tick, looked at without running one."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dagster_project.home import Home
from dagster_project.lifecycle.campaign import json_schema
from dagster_project.lifecycle.errors import InputError
from dagster_project.settings import Settings

SCHEMA = "dbt_project/campaign.schema.json"


def check(home: Home, with_settings: bool) -> dict[str, Any]:
    """Counts of what was looked at, and one line for each problem. The campaigns' JSON schema is written for editors."""
    problems: list[str] = []
    checked: dict[str, int] = {}
    try:
        checked["campaign policies"] = len(home.policies)
        roster = _roster(home)
        checked["triggers on the roster"] = len(roster)
        problems += [
            f"int_triggers__{name}: not on the roster; add its line to int_candidates_unioned or remove it"
            for name in sorted(set(home.policies) - roster)
        ]
        schema = json.dumps(json_schema(), indent=2) + "\n"
        written = home.settings.project / SCHEMA
        if not written.exists() or written.read_text() != schema:
            written.write_text(schema)
        checked["templates"] = len(home.templates.campaigns)
        problems += home.template_problems()
    except InputError as error:
        problems.append(str(error))
    answer: dict[str, Any] = {"ok": not problems, "checked": checked, "problems": problems, "warnings": _warnings()}
    return answer | ({"settings": _settings(home.settings)} if with_settings else {})


def _roster(home: Home) -> set[str]:
    """Campaigns whose trigger the roster reads: those that are live."""
    manifest = home.models.manifest
    (parents,) = [
        node["depends_on"]["nodes"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["name"] == "int_candidates_unioned"
    ]
    return {name.rpartition("int_triggers__")[2] for name in parents if "int_triggers__" in name}


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
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        alias = getattr(field.validation_alias, "choices", [f"POSTRIDER_{name.upper()}"])[0]
        shown[str(alias)] = "********" if isinstance(value, SecretStr) else "" if value is None else str(value)
    return shown
