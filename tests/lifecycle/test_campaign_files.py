"""The policies and the JSON schema in the repository are valid, and agree with the code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import jsonschema
import yaml

from dagster_project.lifecycle.campaign import UseCase, check_sequences, json_schema, parse_policy

DBT = Path(__file__).parents[2] / "dbt_project"
TRIGGERS = DBT / "models/intermediate/score/triggers"


def shipped() -> dict[str, Any]:
    """Campaign id to the YAML under `config.meta.campaign`, for every trigger in the repository."""
    found = {}
    for file in sorted(TRIGGERS.glob("int_triggers__*.yml")):
        (model,) = yaml.safe_load(file.read_text())["models"]
        found[model["name"].removeprefix("int_triggers__")] = model["config"]["meta"]["campaign"]
    return found


def test_every_field_says_what_is_allowed() -> None:
    """The first sentence ends the error line; the rest is for the reader of the schema."""

    def silent(name: str, schema: Mapping[str, Any]) -> list[str]:
        fields = schema.get("properties", {}).items()
        return [f"{name}.{key}" for key, field in fields if ". " not in field.get("description", "")]

    assert [key for name, schema in json_schema()["$defs"].items() for key in silent(name, schema)] == []


def test_the_shipped_policies_are_valid() -> None:
    """Eleven campaigns in five use cases."""
    raw = shipped()
    parsed = {campaign_id: parse_policy(campaign_id, policy, "file") for campaign_id, policy in raw.items()}
    check_sequences(parsed)

    assert len(parsed) == 11
    assert {policy.use_case for policy in parsed.values()} == set(get_args(UseCase))


def test_the_json_schema_in_the_repository_is_the_one_in_force() -> None:
    """`postrider check` writes it."""
    assert (DBT / "campaign.schema.json").read_text() == json.dumps(json_schema(), indent=2) + "\n"


def test_the_shipped_files_fit_the_json_schema() -> None:
    """What an editor checks while one types is what is checked later."""
    schema = jsonschema.Draft202012Validator(json_schema())
    files = sorted(TRIGGERS.glob("int_triggers__*.yml"))

    assert [
        f"{file.name}: {error.message}"
        for file in files
        for error in schema.iter_errors(json.loads(json.dumps(yaml.safe_load(file.read_text()), default=str)))
    ] == []


def test_the_shipped_files_point_editors_to_the_json_schema() -> None:
    """The first line is a relative path that exists."""
    for file in TRIGGERS.glob("int_triggers__*.yml"):
        first = file.read_text().splitlines()[0]

        assert (file.parent / first.partition("$schema=")[2]).resolve() == DBT / "campaign.schema.json"
