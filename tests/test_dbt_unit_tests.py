"""dbt's own unit tests, run for real: each rule and trigger on rows made for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def models_by_test(models: Models) -> dict[str, str]:
    """Unit test -> the model that it is of."""
    return {test["name"]: test["model"] for test in models.manifest["unit_tests"].values()}


def results_of(models: Models, report: Report, tests: Iterable[str]) -> dict[str, str]:
    """Run these unit tests beside the tables of a tick, whose types they take: test -> status, with dbt's words where it is bad."""
    assert report.error is None
    chosen = sorted(tests)
    found = models.run(chosen, datetime.fromisoformat(report.as_of[:-1]), "unit-tests", "test")
    results = {node.name: f"{node.status} {node.message}".strip() for node in found if node.name in chosen}
    assert sorted(results) == chosen
    return results


def test_every_unit_test_of_the_demo_pack_passes(make_home: Callable[..., Home], tick: Tick) -> None:
    home = make_home(threads=4)
    tests = models_by_test(home.models)

    assert len(tests) > 50
    assert set(results_of(home.models, tick(home), tests).values()) == {"pass"}


def test_a_negated_condition_fails_a_unit_test_of_its_model(
    make_home: Callable[..., Home], tick: Tick, project: Path
) -> None:
    """In sixteen rules, triggers and models beneath them; some test of each fails, and nothing errs."""
    home = make_home(threads=4)
    report = tick(home)
    assert report.error is None
    for path, (condition, opposite) in NEGATIONS.items():
        file = project / f"{path}.sql"
        assert condition in file.read_text(), path
        file.write_text(file.read_text().replace(condition, opposite, 1))
    models = Models(project / "dbt_project", home.path, home.warehouse.path, "demo", "local", threads=4)
    negated = {Path(path).name for path in NEGATIONS}
    tested = {test: model for test, model in models_by_test(models).items() if model in negated}

    results = results_of(models, report, tested)

    assert {tested[test] for test, told in results.items() if told.startswith("fail")} == negated
    assert {told.split()[0] for told in results.values()} == {"pass", "fail"}


def test_every_unit_test_of_what_the_yammer_pack_does_otherwise_passes(
    make_home: Callable[..., Home], tick: Tick, shared_data: Path
) -> None:
    """The pack's quirks (ids as floats, repeated rows, times without a zone) are its staging's own; a model whose SQL is the demo
    pack's is tested there."""
    as_of = datetime(2014, 8, 1, 9)
    demo = make_home().models.queries(as_of)
    home = make_home(source="yammer", data=shared_data / "yammer", threads=4)
    own = home.models.queries(as_of)
    tests = [test for test, model in models_by_test(home.models).items() if own.get(model) != demo.get(model)]

    assert "stg_yammer__stand_ins" in {models_by_test(home.models)[test] for test in tests}
    assert set(results_of(home.models, tick(home, as_of), tests).values()) == {"pass"}
