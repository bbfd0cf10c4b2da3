"""Every model says what its rows are, has a key, and every rule and trigger has a unit test; read from dbt's manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dagster_project.demo.sources import PACKS
from dagster_project.home import Home
from dagster_project.lifecycle.explanation import named_conditions, where_conditions
from dagster_project.settings import Settings

pytestmark = pytest.mark.slow  # each reads the dbt project anew

FAMILIES = ("int_triggers__", "int_eligibility__")
NOT_A_RULE = {"int_eligibility_unioned"}


@pytest.fixture(scope="module", params=sorted(PACKS))
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """dbt's manifest of one source pack."""
    home = tmp_path_factory.mktemp("home")
    return Home(Settings(home=home, source=request.param)).models.manifest


def nodes(manifest: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (node for node in manifest["nodes"].values() if node["resource_type"] == kind)


def test_every_model_states_its_grain(manifest: Mapping[str, Any]) -> None:
    """A description begins with "One row per …": the first question anybody has of a table."""
    silent = [
        node["name"] for node in nodes(manifest, "model") if not re.match(r"One row per \w+", node["description"] or "")
    ]

    assert silent == []


def test_every_seed_and_source_is_described(manifest: Mapping[str, Any]) -> None:
    """What comes from outside is explained where it comes in."""
    silent = [node["name"] for node in nodes(manifest, "seed") if not node["description"]]
    silent += [source["name"] for source in manifest["sources"].values() if not source["description"]]

    assert silent == []


def test_every_model_has_a_primary_key_test(manifest: Mapping[str, Any]) -> None:
    """Unique and never null, in one query. A delivery has no key: the same row may come twice."""
    tested = {
        test["attached_node"]
        for test in nodes(manifest, "test")
        if (test.get("test_metadata") or {}).get("name") == "primary_key"
    }
    untested = [node["name"] for node in nodes(manifest, "model") if node["unique_id"] not in tested]

    assert [name for name in untested if not name.endswith(("__received_events", "__received_ids"))] == []


def test_every_mart_enforces_its_contract(manifest: Mapping[str, Any]) -> None:
    """Marts are read by people and dashboards: a column can't change by accident."""
    loose = [
        node["name"]
        for node in nodes(manifest, "model")
        if "marts" in node["fqn"] and not node["config"]["contract"]["enforced"]
    ]

    assert loose == []


def test_every_rule_and_trigger_has_a_unit_test(manifest: Mapping[str, Any]) -> None:
    """A rule that nobody has tried isn't one."""
    tested = {test["model"] for test in manifest["unit_tests"].values()}
    untried = [
        node["name"]
        for node in nodes(manifest, "model")
        if node["name"].startswith(FAMILIES) and node["name"] not in tested | NOT_A_RULE
    ]

    assert untried == []


def test_there_are_eleven_campaigns_and_eighteen_rules(manifest: Mapping[str, Any]) -> None:
    """What ships is what the design lists; a campaign or rule that is lost is noticed."""
    names = {node["name"] for node in nodes(manifest, "model")}

    assert {name for name in names if name.startswith("int_triggers__")} == {
        f"int_triggers__{campaign}"
        for campaign in (
            "welcome", "setup_stalled", "first_value", "feature_next", "invite_teammates", "trial_ending",
            "usage_limit", "churn_risk", "winback", "payment_failed", "terms_update",
        )
    }  # fmt: skip
    assert {name for name in names if name.startswith("int_eligibility__")} == {
        f"int_eligibility__{rule}"
        for rule in (
            "consent", "suppression", "internal_user", "holdout_global", "holdout_campaign", "reentry",
            "frequency_cap", "rollout", "paused", "send_window", "expired", "missing_facts",
            "sequence", "scoped_cap", "account_crowding", "quota", "legal_basis", "risk",
        )
    }  # fmt: skip


def test_models_are_short(manifest: Mapping[str, Any]) -> None:
    """One model, one job: half stay within 45 lines; the longest count a source's quirks, one select each."""
    lengths = sorted((len(node["raw_code"].splitlines()), node["name"]) for node in nodes(manifest, "model"))

    assert lengths[len(lengths) // 2][0] <= 45
    assert [name for lines, name in lengths if lines > 200] == []


@pytest.mark.slow
def test_a_trigger_keeps_exactly_those_who_meet_all_its_conditions(tmp_path: Path) -> None:
    """The last `where` is the conjunction of all boolean columns of `conditions`; explain rests on it."""
    home = Home(Settings(home=tmp_path))
    compiled = home.models.compiled(["path:models/intermediate/score/triggers"], datetime(2026, 9, 1, 9))

    assert len(compiled) == 11
    for name, sql in compiled.items():
        assert sorted(where_conditions(name, sql)) == sorted(named_conditions(name, sql)), name
        assert len(named_conditions(name, sql)) >= 2, name
