"""dbt's own unit tests, run for real: each rule and trigger on rows made for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.commands.run import Report
from dagster_project.home import Home

pytestmark = pytest.mark.slow

Tick = Callable[..., Report]


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


def test_every_unit_test_of_the_yammer_pack_passes(
    make_home: Callable[..., Home], tick: Tick, shared_data: Path
) -> None:
    """The pack's quirks (ids as floats, repeated rows, times without a zone) are its staging's own."""
    home = make_home(source="yammer", data=shared_data / "yammer", threads=4)

    assert failures_of(home, tick(home, datetime(2014, 8, 1, 9))) == []
