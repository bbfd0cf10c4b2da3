"""dbt's own unit tests, run for real: each rule and trigger on rows made for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.adapters.models import Models
from dagster_project.commands.run import Report
from dagster_project.home import Home

pytestmark = pytest.mark.slow

Tick = Callable[..., Report]

DECIDE = "dbt_project/models/intermediate/decide"
RULES = f"{DECIDE}/eligibility/int_eligibility__"
TRIGGERS = "dbt_project/models/intermediate/score/triggers/int_triggers__"
# One condition of a model, and its opposite.
NEGATIONS = {
    f"{RULES}sequence": ("where earlier.is_to_come", "where not earlier.is_to_come"),
    f"{RULES}scoped_cap": ("where n_messages >= cap_count", "where n_messages < cap_count"),
    f"{RULES}account_crowding": ("when placed.place > ", "when placed.place <= "),
    f"{RULES}quota": (") > campaigns.quota_per_run", ") <= campaigns.quota_per_run"),
    f"{RULES}legal_basis": ("= 'legitimate_interest'\n", "<> 'legitimate_interest'\n"),
    f"{RULES}risk": ("campaigns.review <> 'all'", "campaigns.review = 'all'"),
    f"{RULES}send_window": ("when send_windows.is_holiday", "when not send_windows.is_holiday"),
    f"{RULES}reentry": ("when campaigns.reentry_policy = 'never' then null", "when false then null"),
    f"{RULES}expired": ("> send_before", "<= send_before"),
    f"{RULES}consent": ("consents.status = 'granted'", "consents.status <> 'granted'"),
    f"{RULES}paused": ("when own.is_killed or everyone.is_killed", "when not (own.is_killed or everyone.is_killed)"),
    f"{RULES}rollout": (">= chances.rollout_share", "< chances.rollout_share"),
    f"{TRIGGERS}setup_stalled": ("    and is_not_activated\n", "    and not is_not_activated\n"),
    f"{TRIGGERS}first_value": ("where is_", "where not is_"),
    f"{DECIDE}/int_send_windows": ("where holidays.holiday_date is null", "where holidays.holiday_date is not null"),
    f"{DECIDE}/int_usual_hours": ("n_days >= {{ var", "n_days < {{ var"),
}


def failures_of(home: Home, report: Report) -> list[str]:
    """Run every unit test of the pack beside the tables of a tick, whose types they take; what went wrong, if anything."""
    assert report.error is None
    results = home.models.run(["test_type:unit"], datetime.fromisoformat(report.as_of[:-1]), "unit-tests", "test")
    expected = {test["name"] for test in home.models.manifest["unit_tests"].values()}
    assert len(expected) > 50
    assert {node.name for node in results} == expected
    return [f"{node.name}: {node.status} {node.message}" for node in results if node.status != "pass"]


def test_every_unit_test_of_the_demo_pack_passes(make_home: Callable[..., Home], tick: Tick) -> None:
    home = make_home(threads=4)

    assert failures_of(home, tick(home)) == []


def test_a_negated_condition_fails_a_unit_test_of_its_model(
    make_home: Callable[..., Home], tick: Tick, project: Path
) -> None:
    """In sixteen rules, triggers and models beneath them; what is not negated passes as before."""
    home = make_home(threads=4)
    report = tick(home)
    assert report.error is None
    for path, (condition, opposite) in NEGATIONS.items():
        file = project / f"{path}.sql"
        assert condition in file.read_text(), path
        file.write_text(file.read_text().replace(condition, opposite, 1))
    models = Models(project / "dbt_project", home.path, home.warehouse.path, "demo", "local", threads=4)
    tested = {test["name"]: test["model"] for test in models.manifest["unit_tests"].values()}

    results = models.run(["test_type:unit"], datetime.fromisoformat(report.as_of[:-1]), "mutants", "test")

    failed = {tested[node.name] for node in results if node.status == "fail"}
    assert failed == {Path(path).name for path in NEGATIONS}
    assert {node.status for node in results} == {"pass", "fail"}


def test_every_unit_test_of_the_yammer_pack_passes(
    make_home: Callable[..., Home], tick: Tick, shared_data: Path
) -> None:
    """The pack's quirks (ids as floats, repeated rows, times without a zone) are its staging's own."""
    home = make_home(source="yammer", data=shared_data / "yammer", threads=4)

    assert failures_of(home, tick(home, datetime(2014, 8, 1, 9))) == []
