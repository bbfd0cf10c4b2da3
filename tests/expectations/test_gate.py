"""Running a gate: what it answers, what it refuses, and that it lets go of the warehouse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.gate import STAGES, GateError, run_gate


def test_importing_the_gates_does_not_import_great_expectations() -> None:
    """The import costs seconds, also to commands that run no gate."""
    code = "import sys, expectations.gate; print('great_expectations' in sys.modules, 'sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"as_of": None}, "as_of: missing"),
        ({"as_of": "2026-03-02"}, "as_of: found '2026-03-02'; a datetime is needed"),
        ({"env": "staging"}, "env: found 'staging'; allowed are development, production"),
        ({"freshness_hours": "26"}, "freshness_hours: found '26'; a number of at least 0 is needed"),
        ({"audience_cap": -1}, "audience_cap: found -1"),
        ({"max_churn_share": float("nan")}, "max_churn_share: found nan"),
        ({"fresh_hours": 3}, "fresh_hours: unknown; allowed are as_of, read_at"),
        ({"read_at": None}, "read_at is missing"),
        ({"gate": {"users": "raw_users"}}, "user_key, events, event_user_key, event_occurred_at is missing"),
        ({"gate": "raw_users"}, "gate: found 'raw_users'; a mapping is needed"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line(
    change: dict[str, Any], words: str, good_warehouse: Path, params: dict[str, Any]
) -> None:
    with pytest.raises(GateError) as refused:
        run_gate("ingest", good_warehouse, params | change)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_stage_is_refused(good_warehouse: Path, params: dict[str, Any]) -> None:
    with pytest.raises(GateError, match="gate send: unknown stage; allowed are ingest, enrich"):
        run_gate("send", good_warehouse, params)


def test_a_missing_warehouse_is_refused(tmp_path: Path, params: dict[str, Any]) -> None:
    with pytest.raises(GateError, match="no such warehouse"):
        run_gate("ingest", tmp_path / "none.duckdb", params)
    assert not (tmp_path / "none.duckdb").exists()


def test_a_file_that_is_no_warehouse_is_refused(tmp_path: Path, params: dict[str, Any]) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(b"not a database, only text" * 1000)
    with pytest.raises(GateError, match="can't be opened"):
        run_gate("ingest", path, params)


def test_a_warehouse_in_other_hands_is_refused(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    path = spoil()
    code = f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(GateError, match=r"can't be opened.*lock"):
            run_gate("review", path, params)
        holder.communicate("\n")


def test_a_missing_table_is_refused(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    with pytest.raises(GateError, match=r"gate review: table main\.drafts is missing"):
        run_gate("review", spoil("drop table drafts"), params)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "expectation"),
    [
        ("alter table reviews drop column verdict", "every_draft_reviewed"),
        ("alter table reviews drop column message_id", "reviews_unique"),
    ],
)
def test_an_expectation_that_cannot_be_judged_is_no_pass(
    sql: str, expectation: str, spoil: Callable[..., Path], params: dict[str, Any]
) -> None:
    """A renamed column must not open the gate; and the warehouse is free again afterwards."""
    path = spoil(sql)
    with pytest.raises(GateError, match=expectation) as refused:
        run_gate("review", path, params)
    assert "\n" not in str(refused.value)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table written as select 1")


@pytest.mark.slow
def test_the_warehouse_is_free_after_every_gate(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    """The next step opens it for writing: in this process, and in another one."""
    path = spoil()
    write = f"import duckdb; duckdb.connect({str(path)!r}).execute('create or replace table theirs as select 1')"
    for stage in STAGES:
        assert run_gate(stage, path, params).passed
        with duckdb.connect(str(path)) as connection:
            connection.execute("create or replace table ours as select 1")
    subprocess.run([sys.executable, "-c", write], check=True)


@pytest.mark.slow
def test_a_gate_changes_nothing(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    path = spoil()
    before = path.read_bytes()
    for stage in STAGES:
        run_gate(stage, path, params)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
def test_any_folder_can_be_a_home(spoil: Callable[..., Path], params: dict[str, Any], tmp_path: Path) -> None:
    """The path is no URL and no template."""
    home = tmp_path / "a home? 100% $HOME #1; é"
    home.mkdir()
    assert run_gate("review", spoil().rename(home / "warehouse.duckdb"), params).passed


@pytest.mark.slow
def test_times_are_utc_whatever_the_machine_thinks(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    """A source with zones, read on a machine elsewhere, gives the same answer; so does an `as_of` with a zone."""
    path = spoil(
        """
        set TimeZone = 'UTC';
        alter table raw.raw_events alter received_at type timestamptz;
        alter table raw.raw_events alter occurred_at type timestamptz
        """
    )
    tokyo = timezone(timedelta(hours=9))
    moved = params | {"as_of": params["as_of"].replace(tzinfo=UTC).astimezone(tokyo)}
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    try:
        result = run_gate("ingest", path, moved)
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    assert result.passed
    assert {line.name: line.observed for line in result.results}["events_fresh"].startswith("newest 2026-03-02 08:54")


@pytest.mark.slow
def test_nothing_is_drawn_and_nobody_is_told(good_warehouse: Path) -> None:
    """Great Expectations draws progress bars and has been known to count its users."""
    code = f"""
import os, socket
from datetime import datetime
from pathlib import Path
from expectations.gate import run_gate

socket.socket.connect = lambda *_: print("calls out")
run_gate("review", Path({str(good_warehouse)!r}), {{"as_of": datetime(2026, 3, 2, 9)}})
print(os.environ["GX_ANALYTICS_ENABLED"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "GX_ANALYTICS_ENABLED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["false"]
    assert "Calculating" not in done.stderr


@pytest.mark.slow
def test_a_result_can_be_kept_and_shown(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    path = spoil(
        """
        update int_verdicts set email = 'a|b' where user_id <= 'u_0046';
        update raw.raw_ledger_ticks set candidates = 20 where campaign_id in ('welcome', 'trial_ending')
        """
    )
    result = run_gate("decide", path, params)
    assert not result.passed
    assert [line.name for line in result.failed] == ["sends_have_valid_address"]
    assert [line.name for line in result.warnings] == ["audience_as_usual"]
    assert result.cautioned == ("welcome",)
    assert result.seconds > 0
    kept = json.loads(json.dumps(result.as_records()))
    assert len(kept) == len(result.results)
    assert {tuple(record) for record in kept} == {
        ("name", "sentence", "severity", "passed", "unexpected_count", "examples", "observed", "campaigns")
    }
    table = result.as_markdown().splitlines()
    assert table[2].startswith(
        "| FAILED | At least 99.5 % of the recipients have a plausible address. | 6 of 40 (15.00%)"
    )
    assert table[3].startswith(
        "| warning | Every campaign is 0.5 to 2 times as large as usual. | welcome 60 against 20 "
    )
    assert all(line.count("|") - line.count("\\|") == 5 for line in table)
