"""Wrong sources: the file and the column, and nothing is planned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dagster_project.home import Home

pytestmark = pytest.mark.slow  # each reads the dbt project anew

Answer = tuple[int, str, str]
Call = Callable[..., Answer]
Refused = Callable[..., None]
Untouched = Callable[[Home], None]
ROOT = Path(__file__).parent.parent.parent


def test_a_missing_file_is_named(
    call: Call, make_home: Callable[..., Home], company: Path, refused: Refused, untouched: Untouched
) -> None:
    (company / "users.parquet").unlink()
    home = make_home(data=company)

    refused(call("run"), "users.parquet", "no such file")
    untouched(home)


def test_a_missing_column_is_named(
    call: Call, make_home: Callable[..., Home], company: Path, refused: Refused, untouched: Untouched
) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"create table t as select * exclude (locale) from read_parquet('{company}/users.parquet')")
        connection.execute(f"copy t to '{company}/users.parquet' (format parquet)")
    home = make_home(data=company)

    refused(call("run"), "users.parquet", "locale", "missing")
    untouched(home)


def test_a_malformed_parquet_is_named(
    call: Call, make_home: Callable[..., Home], company: Path, refused: Refused, untouched: Untouched
) -> None:
    (company / "accounts.parquet").write_bytes(b"PAR1 this is not parquet PAR1")
    home = make_home(data=company)

    refused(call("run"), "accounts.parquet", "not readable as Parquet")
    untouched(home)


def test_a_malformed_csv_is_named(
    call: Call, make_home: Callable[..., Home], tmp_path: Path, refused: Refused, untouched: Untouched
) -> None:
    folder = tmp_path / "csv"
    folder.mkdir()
    for name in ("users", "events", "email_events", "experiments"):
        (folder / f"{name}.csv.gz").write_bytes(b"\x1f\x8b not gzip at all")
    home = make_home(data=folder, source="yammer")

    refused(call("run", "--as-of", "2014-08-01T09:00:00Z"), "users.csv.gz", "CSV")
    untouched(home)


@pytest.mark.parametrize(
    ("relation", "select", "words"),
    [
        pytest.param(
            "users", "select * replace (created_at::varchar || '?' as created_at) from original",
            ["created_at is VARCHAR", "timestamp"], id="a time as text",
        ),
        pytest.param(
            "users", "select * replace ({'a': email} as email) from original",
            ["email is STRUCT", "text"], id="a nested address",
        ),
        pytest.param(
            "users", "select * replace ('yes' as is_internal) from original",
            ["is_internal is VARCHAR", "boolean"], id="yes and no as text",
        ),
    ],
)  # fmt: skip
def test_a_column_of_the_wrong_type_is_named(
    call: Call, make_home: Callable[..., Home], company: Path, relation: str, select: str, words: list[str],
    refused: Refused, untouched: Untouched,
) -> None:  # fmt: skip
    """Found when it lands: a cast that fails three stages later would name a model instead of the file."""
    file = company / f"{relation}.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table original as select * from read_parquet('{file}')")
        connection.execute(f"copy ({select}) to '{file}' (format parquet)")
    home = make_home(data=company)

    refused(call("run"), file.name, *words)
    untouched(home)


@pytest.mark.parametrize("what", ["a file for the folder", "a folder for the file", "no events", "broken manifest"])
def test_a_file_of_the_wrong_kind_is_named(
    call: Call, make_home: Callable[..., Home], company: Path, what: str, refused: Refused, untouched: Untouched
) -> None:
    data, word = company, "users.parquet"
    if what == "a file for the folder":
        data = company / "users.parquet"
    elif what == "a folder for the file":
        (company / "users.parquet").unlink()
        (company / "users.parquet").mkdir()
    elif what == "no events":
        shutil.rmtree(company / "events")
        word = "events/*.parquet"
    home = make_home(data=data)
    if what == "broken manifest":
        (company / "demo.json").write_text("{")
        word = "demo.json"

    refused(call("run"), word)
    untouched(home)
