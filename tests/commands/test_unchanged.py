"""A tick that could find nothing new is left out, and says so; whatever might change something makes it a whole one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dagster_project.commands.run import Report
from dagster_project.commands.unchanged import inputs
from dagster_project.home import Home

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)


def test_a_third_tick_at_the_same_time_is_left_out(
    make_home: Callable[..., Home], tick: Callable[..., Report], call: Callable[..., tuple[int, str, str]]
) -> None:
    """The first sends, the second finds that it did and changes nothing, the third can find nothing else. A person's word, and another
    time, are something new."""
    home = make_home()
    first, second = tick(home), tick(home)
    assert (first.is_unchanged, second.is_unchanged) == (False, False)
    with home.ledger() as ledger:
        before = ledger.verify()

    third = tick(home)

    assert third.is_unchanged
    assert (third.run_id, third.decisions_hash) == (second.run_id, first.decisions_hash)
    assert (third.verdicts, third.campaigns) == (second.verdicts, second.campaigns)
    assert (third.stages, third.deliveries, third.error) == ({}, {}, None)
    with home.ledger() as ledger:
        assert ledger.verify() == before, "nothing is recorded, for nothing happened"
    code, out, _ = call("run")
    assert code == 0
    assert "nothing new" in out

    with home.ledger() as ledger:
        ledger.pause("welcome", "ana", "typo")
    paused = tick(home)
    assert not paused.is_unchanged
    assert paused.campaigns["welcome"].get("send", 0) == 0
    assert not tick(home, MORNING + timedelta(hours=1)).is_unchanged


def touched(file: Path) -> None:
    later = file.stat().st_mtime_ns + 1
    os.utime(file, ns=(later, later))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda home: touched(next(home.data.glob("events/*.parquet"))), id="a source file"),
        pytest.param(lambda home: next(home.data.glob("events/*.parquet")).unlink(), id="a source file gone"),
        pytest.param(lambda home: (home.data / "tickets.parquet").unlink(), id="an optional file gone"),
        pytest.param(lambda home: touched(home.settings.project / "dbt_project/dbt_project.yml"), id="a variable"),
        pytest.param(lambda home: touched(home.settings.project / "templates/layouts/default.txt.j2"), id="a layout"),
        pytest.param(lambda home: (home.settings.project / "delivery.yml").write_text("{}"), id="the limits"),
        pytest.param(lambda home: home.warehouse.path.write_bytes(b"other"), id="the warehouse"),
    ],
)
def test_what_a_tick_reads_is_looked_at(
    make_home: Callable[..., Home], company: Path, project: Path, change: Callable[[Home], None]
) -> None:
    home = make_home(data=company, project=project)
    home.prepare()
    before = inputs(home, MORNING)
    assert inputs(home, MORNING) == before

    change(home)

    assert inputs(home, MORNING) != before


def test_settings_and_time_are_looked_at_and_secrets_are_not(make_home: Callable[..., Home]) -> None:
    """A hash of a secret would lie in a file that nobody guards."""
    plain = inputs(make_home(), MORNING)

    assert inputs(make_home(), MORNING + timedelta(seconds=1)) != plain
    assert inputs(make_home(postal_address="Elsewhere 1"), MORNING) != plain
    assert inputs(make_home(postal_address="Elsewhere 1", secret_keys="a" * 64), MORNING) == inputs(
        make_home(postal_address="Elsewhere 1", secret_keys="b" * 64), MORNING
    )
