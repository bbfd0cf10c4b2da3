"""The demo company as views, and the hashes that say whether two companies are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

RELATIONS = ("users", "accounts", "subscriptions", "consents", "tickets", "truth", "effects")


def _open(folder: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("set timezone = 'UTC'")
    for name in RELATIONS:
        connection.execute(f"create view {name} as from read_parquet('{folder}/{name}.parquet')")
    connection.execute(f"create view events as from read_parquet('{folder}/events/*.parquet')")
    connection.execute(
        "create view human_events as select events.* from events inner join truth using (user_id) where not is_bot"
    )
    return connection


def _hashes(folder: Path) -> dict[str, int]:
    with _open(folder) as connection:
        return {
            name: connection.execute(f"select sum(hash(line)::hugeint) from {name} as line").fetchall()[0][0]
            for name in (*RELATIONS, "events")
        }


@pytest.fixture(scope="session")
def open_company() -> Callable[[Path], duckdb.DuckDBPyConnection]:
    """Opens a folder: one view per relation, `events` as delivered, `human_events` without the bots'."""
    return _open


@pytest.fixture(scope="session")
def content_hashes() -> Callable[[Path], dict[str, int]]:
    """Per relation a hash over its rows, whatever their order and files."""
    return _hashes


@pytest.fixture(scope="session")
def ledgerline(small_company: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """1,500 people over 90 days, to be read only."""
    with _open(small_company) as connection:
        yield connection
