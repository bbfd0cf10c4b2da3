"""What the packs promise is what the files hold."""

from __future__ import annotations

import dataclasses
import gzip
import json
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from dagster_project.demo.company import ENDS_AT, MANIFEST
from dagster_project.demo.sources import PACKS, pack
from dagster_project.lifecycle.errors import InputError

GATE_KEYS = {
    "users",
    "user_key",
    "user_email",
    "events",
    "event_user_key",
    "event_occurred_at",
    "event_received_at",
}


def test_the_demo_files_hold_exactly_the_promised_columns(small_company: Path) -> None:
    promised = {table.name: list(table.columns) for table in PACKS["demo"].tables}
    with duckdb.connect() as connection:
        found = {
            table.name: [
                row[0]
                for row in connection.execute(
                    f"describe select * from read_parquet('{small_company / table.path}')"
                ).fetchall()
            ]
            for table in PACKS["demo"].tables
        }

    assert found == promised


def test_the_yammer_files_hold_exactly_the_promised_columns(shared_data: Path) -> None:
    for table in PACKS["yammer"].tables:
        with gzip.open(shared_data / "yammer" / table.path, "rt") as lines:
            assert lines.readline().strip().split(",") == list(table.columns)


@pytest.mark.parametrize("name", sorted(PACKS))
def test_the_gate_names_tables_and_columns_of_its_own_pack(name: str) -> None:
    gate = PACKS[name].gate
    columns = {table.name: set(table.columns) for table in PACKS[name].tables}
    users, events = str(gate["users"]), str(gate["events"])

    assert set(gate) == GATE_KEYS
    assert {gate["user_key"], gate["user_email"]} - {None} <= columns[users]
    assert {gate["event_user_key"], gate["event_occurred_at"], gate["event_received_at"]} - {None} <= columns[events]


@pytest.mark.parametrize("name", sorted(PACKS))
def test_every_landed_table_is_described_for_stakeholders(name: str) -> None:
    assert [table.name for table in PACKS[name].tables if not table.description.startswith("One row per ")] == []


def test_the_truth_is_never_landed() -> None:
    """What the evaluation has to find out must not be in the warehouse."""
    assert [table for table in PACKS["demo"].tables if "truth" in table.path] == []


def test_the_demo_was_read_when_its_manifest_says(small_company: Path) -> None:
    assert pack("demo", small_company).horizon == ENDS_AT


def test_a_demo_folder_without_a_manifest_is_read_now(tmp_path: Path) -> None:
    assert pack("demo", tmp_path) == dataclasses.replace(PACKS["demo"], horizon=None)


def test_the_yammer_export_ends_with_august_2014(tmp_path: Path) -> None:
    assert pack("yammer", tmp_path).horizon == datetime.fromisoformat("2014-09-01")


@pytest.mark.parametrize("content", ["", "{}", "[]", "not JSON", json.dumps({"ends_at": "soon"})])
def test_a_broken_manifest_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)

    with pytest.raises(InputError, match=r"demo\.json: no readable 'ends_at'"):
        pack("demo", tmp_path)


def test_an_unknown_pack_is_refused_with_the_allowed_names(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        pack("mixpanel", tmp_path)

    assert str(refused.value) == "source: found 'mixpanel'; allowed: demo, yammer"
