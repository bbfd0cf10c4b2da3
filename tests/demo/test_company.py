"""One generation: the same for the same order, all of it or nothing, refused in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.demo import company
from dagster_project.demo.company import ENDS_AT, MANIFEST, generate
from dagster_project.lifecycle.errors import InputError

Hashes = Callable[[Path], dict[str, int]]
Open = Callable[[Path], duckdb.DuckDBPyConnection]

WHOLE = """
select
    (select count(*) from users),
    (select count(distinct user_id) from users),
    (select count(*) from users left join accounts using (account_id) where accounts.account_id is null),
    (select count(*) from accounts left join users on owner_user_id = user_id where users.user_id is null),
    (select count(*) from accounts anti join subscriptions using (account_id)),
    (select count(*) from events where received_at > $ends_at or occurred_at > received_at),
    (select count(*) from events inner join users using (user_id) where occurred_at < created_at),
    (select count(*) from events where user_id is not null and user_id not in (select user_id from users))
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_seed_gives_the_same_rows_on_any_number_of_threads(
    tmp_path: Path, small_company: Path, content_hashes: Hashes, threads: int
) -> None:
    generate(tmp_path / "again", users=1_500, days=90, threads=threads)

    assert content_hashes(tmp_path / "again") == content_hashes(small_company)


def test_another_seed_gives_other_rows_in_every_relation(tmp_path: Path, content_hashes: Hashes) -> None:
    generate(tmp_path / "one", users=100, days=14, seed=1)
    generate(tmp_path / "two", users=100, days=14, seed=2)
    one, two = content_hashes(tmp_path / "one"), content_hashes(tmp_path / "two")

    assert {name for name in one if one[name] == two[name]} == set()


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(users=st.integers(1, 60), days=st.integers(14, 30), seed=st.integers(0, 2**63 - 1))
def test_any_small_company_is_whole(
    tmp_path_factory: pytest.TempPathFactory, open_company: Open, users: int, days: int, seed: int
) -> None:
    """Every reference resolves, nobody acts before they joined, nothing arrives before it happened or after the end."""
    out = tmp_path_factory.mktemp("any") / "demo"
    generate(out, users=users, days=days, seed=seed, threads=1)
    with open_company(out) as connection:
        found = connection.execute(WHOLE, {"ends_at": ENDS_AT}).fetchall()[0]

    assert found == (users, users, 0, 0, 0, 0, 0, 0)


def test_the_summary_counts_what_was_written(tmp_path: Path, open_company: Open) -> None:
    summary = generate(tmp_path / "demo", users=200, days=14)
    with open_company(tmp_path / "demo") as connection:
        rows = {name: connection.execute(f"select count(*) from {name}").fetchall()[0][0] for name in summary.rows}
        newest = connection.execute("select max(occurred_at) from events").fetchall()[0][0]
    written = sum(file.stat().st_size for file in (tmp_path / "demo").rglob("*") if file.is_file())

    assert (summary.rows, summary.newest_event, summary.bytes) == (rows, newest, written)
    assert json.dumps(summary.as_dict())


def test_the_manifest_tells_how_to_make_it_again(tmp_path: Path) -> None:
    generate(tmp_path / "demo", users=20, days=15, seed=3)
    manifest = json.loads((tmp_path / "demo" / MANIFEST).read_text())
    order = {"users": 20, "days": 15, "seed": 3, "ends_at": "2026-09-01T09:00:00", "generator_version": 1}

    assert {key: manifest[key] for key in order} == order


def test_an_end_with_a_zone_is_taken_as_the_same_moment_in_utc(tmp_path: Path) -> None:
    berlin = datetime(2026, 9, 1, 11, tzinfo=timezone(timedelta(hours=2)))
    generate(tmp_path / "demo", users=5, days=14, ends_at=berlin)

    assert json.loads((tmp_path / "demo" / MANIFEST).read_text())["ends_at"] == ENDS_AT.isoformat()


def test_usage_is_kept_for_the_days_asked_and_milestones_for_ever(tmp_path: Path, open_company: Open) -> None:
    generate(tmp_path / "demo", users=300, days=14)
    with open_company(tmp_path / "demo") as connection:
        usage, milestones = connection.execute(
            "select min(occurred_at) filter (where event_id like 'e%'), min(occurred_at) from events"
        ).fetchall()[0]

    assert usage >= ENDS_AT - timedelta(days=14)
    assert milestones < ENDS_AT - timedelta(days=100)


@pytest.mark.slow
def test_many_parts_hold_the_same_rows_as_few(
    tmp_path: Path, content_hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How usage is cut to fit the memory is nothing the data shows."""
    generate(tmp_path / "few", users=300, days=14)
    monkeypatch.setattr(company, "USER_DAYS_PER_CHUNK", 300)
    generate(tmp_path / "many", users=300, days=14)

    assert len(list((tmp_path / "few" / "events").iterdir())) == 2
    assert len(list((tmp_path / "many" / "events").iterdir())) == 18
    assert content_hashes(tmp_path / "few") == content_hashes(tmp_path / "many")


def test_a_second_generation_replaces_the_first_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    generate(tmp_path / "demo", users=50, days=14)
    generate(tmp_path / "demo", users=20, days=14)

    assert json.loads((tmp_path / "demo" / MANIFEST).read_text())["users"] == 20
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo"]


def test_a_failing_generation_leaves_the_earlier_company_as_it_was(
    tmp_path: Path, content_hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "demo", users=50, days=14)
    before = content_hashes(tmp_path / "demo")
    monkeypatch.setattr(company, "_write_usage", _fail_with_a_full_disk)

    with pytest.raises(InputError, match="No space left"):
        generate(tmp_path / "demo", users=20, days=14)

    assert content_hashes(tmp_path / "demo") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo"]


def _fail_with_a_full_disk(*_: object) -> int:
    raise duckdb.IOException("IO Error: Could not write file: No space left on device")


@pytest.mark.parametrize(
    ("argument", "allowed"),
    [
        ({"users": 0}, "users: found 0; allowed: 1 to 10000000"),
        ({"users": 10_000_001}, "users: found 10000001; allowed: 1 to 10000000"),
        ({"days": 13}, "days: found 13; allowed: 14 to 730"),
        ({"days": 731}, "days: found 731; allowed: 14 to 730"),
        ({"seed": -1}, "seed: found -1; allowed: 0 to 9223372036854775807"),
        ({"threads": 0}, "threads: found 0; allowed: 1 to 256"),
        ({"ends_at": ENDS_AT.replace(year=1999)}, "ends_at's year: found 1999; allowed: 2000 to 2099"),
    ],
)
def test_an_argument_out_of_bounds_is_refused_in_one_line(
    tmp_path: Path, argument: dict[str, Any], allowed: str
) -> None:
    with pytest.raises(InputError) as refused:
        generate(tmp_path / "demo", **argument)

    assert str(refused.value) == allowed
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("the only copy")

    with pytest.raises(InputError, match="holds other files"):
        generate(tmp_path, users=5, days=14)

    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")

    with pytest.raises(InputError, match="is a file; allowed: a folder"):
        generate(tmp_path / "demo", users=5, days=14)


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    """/proc refuses new folders to everybody, root included."""
    if not os.path.isdir("/proc/self"):  # noqa: PTH112 - Path("/proc/self") would be followed by the skip all the same
        pytest.skip("this system has no /proc, which is the folder that nobody can write")
    with pytest.raises(InputError) as refused:
        generate(Path("/proc/postrider/demo"), users=5, days=14)

    assert "\n" not in str(refused.value)
    assert "allowed: a writable folder" in str(refused.value)


@pytest.mark.slow
def test_the_default_company_has_ten_thousand_people_and_about_a_million_events(tmp_path: Path) -> None:
    summary = generate(tmp_path / "demo")

    assert summary.rows["users"] == 10_000
    assert 900_000 <= summary.rows["events"] <= 1_150_000
