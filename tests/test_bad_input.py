"""Wrong input gets one line that says which file or key, what was found and what is allowed; exit code 2; nothing done."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.home import Home

ROOT = Path(__file__).parent.parent
Answer = tuple[int, str, str]


def refused(answer: Answer, *words: str) -> None:
    """Exit code 2, one line, and these words in it."""
    code, out, err = answer
    lines = [line for line in err.splitlines() if line.startswith("postrider: ")]
    assert code == 2, (out, err)
    assert len(lines) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0], lines[0]


def untouched(home: Home) -> None:
    """No message was planned and no mail written."""
    assert list(home.outbox.rglob("*.eml")) == []
    if (home.path / "ledger.sqlite").exists():
        with home.ledger() as ledger:
            assert ledger.messages() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["run", "--source", "salesforce"], ["salesforce", "demo, yammer"], id="unknown pack"),
        pytest.param(["run", "--as-of", "yesterday"], ["--as-of", "yesterday", "ISO 8601"], id="no time"),
        pytest.param(["run", "--as-of", "2026-02-30T09:00:00Z"], ["--as-of", "2026-02-30"], id="no such day"),
        pytest.param(["run", "--data", "nowhere"], ["nowhere", "no such folder"], id="missing folder"),
        pytest.param(["demo", "--users", "0"], ["users", "0", "1 to"], id="nobody"),
        pytest.param(["demo", "--days", "3"], ["days", "3", "14 to"], id="too few days"),
        pytest.param(
            ["pause", "nonsense", "--reason", "x", "--by", "ana"],
            ["nonsense", "allowed are churn_risk"],
            id="unknown campaign",
        ),
        pytest.param(["preview", "nonsense"], ["nonsense", "allowed are churn_risk"], id="unknown template"),
        pytest.param(["explain", "--user", "u1"], ["no tick", "postrider run"], id="nothing to explain yet"),
        pytest.param(["review", "approve", "abc", "--by", "ana"], ["abc", "review list"], id="unknown draft"),
        pytest.param(["review", "show", "abc"], ["abc", "no draft in review"], id="unknown message"),
    ],
)
def test_a_wrong_argument_is_named(
    call: Callable[..., Answer], make_home: Callable[..., Home], arguments: list[str], words: list[str]
) -> None:
    """Which argument, what it was, what would do."""
    home = make_home()

    refused(call(*arguments), *words)
    untouched(home)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threads", "many", ["POSTRIDER_THREADS", "many"]),
        ("threads", "0", ["POSTRIDER_THREADS", "0"]),
        ("env", "staging", ["POSTRIDER_ENV", "staging", "production"]),
        ("channel", "pigeon", ["POSTRIDER_CHANNEL", "pigeon", "outbox"]),
        ("ledger_url", "nonsense", ["ledger URL", "sqlite:///"]),
        ("ledger_url", "postgresql+psycopg://nobody:secret@127.0.0.1:1/none", ["127.0.0.1"]),
    ],
)
def test_a_wrong_setting_is_named(
    call: Callable[..., Answer], make_home: Callable[..., Home], name: str, value: str, words: list[str]
) -> None:
    """A setting is refused by its name in the environment, and a password is never shown."""
    os.environ  # noqa: B018  the fixture sets it there
    try:
        make_home(**{name: value})
    except Exception as error:  # noqa: BLE001  opening says it already; the command must say the same
        assert words[0] in str(error)

    answer = call("verify")

    refused(answer, *words)
    assert "secret" not in answer[2]


def test_a_missing_file_is_named(call: Callable[..., Answer], make_home: Callable[..., Home], company: Path) -> None:
    (company / "users.parquet").unlink()
    home = make_home(data=company)

    refused(call("run"), "users.parquet", "no such file")
    untouched(home)


def test_a_missing_column_is_named(call: Callable[..., Answer], make_home: Callable[..., Home], company: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"create table t as select * exclude (locale) from read_parquet('{company}/users.parquet')")
        connection.execute(f"copy t to '{company}/users.parquet' (format parquet)")
    home = make_home(data=company)

    refused(call("run"), "users.parquet", "locale", "missing")
    untouched(home)


def test_a_malformed_parquet_is_named(
    call: Callable[..., Answer], make_home: Callable[..., Home], company: Path
) -> None:
    (company / "accounts.parquet").write_bytes(b"PAR1 this is not parquet PAR1")
    home = make_home(data=company)

    refused(call("run"), "accounts.parquet", "not readable as Parquet")
    untouched(home)


def test_a_malformed_csv_is_named(call: Callable[..., Answer], make_home: Callable[..., Home], tmp_path: Path) -> None:
    folder = tmp_path / "csv"
    folder.mkdir()
    for name in ("users", "events", "email_events", "experiments"):
        (folder / f"{name}.csv.gz").write_bytes(b"\x1f\x8b not gzip at all")
    home = make_home(data=folder, source="yammer")

    refused(call("run", "--as-of", "2014-08-01T09:00:00Z"), "users.csv.gz", "CSV")
    untouched(home)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "holdout_share:",
            "holdout_shre:",
            ["int_triggers__winback.yml", "holdout_shre", "holdout_share"],
            id="unknown policy key",
        ),
        pytest.param(
            "dbt_project/models/intermediate/score/triggers/int_triggers__winback.yml",
            "models:",
            "models: [",
            ["int_triggers__winback.yml"],
            id="malformed YAML",
        ),
        pytest.param(
            "templates/emails/winback/default/body.txt.j2",
            "{{",
            "{{ nobody_knows }} {{",
            ["templates/emails/winback/default/body.txt.j2", "nobody_knows"],
            id="undefined variable",
        ),
        pytest.param(
            "templates/emails/winback/default/body.mjml.j2",
            "{{",
            "{{ (( {{",
            ["templates/emails/winback/default/body.mjml.j2"],
            id="malformed template",
        ),
        pytest.param(
            "templates/emails/winback/default/template.yml",
            "facts:",
            "fax:",
            ["templates/emails/winback/default/template.yml", "fax"],
            id="unknown template key",
        ),
    ],
)
def test_a_wrong_file_of_the_project_is_named(
    call: Callable[..., Answer],
    make_home: Callable[..., Home],
    project: Path,
    file: str,
    old: str,
    new: str,
    words: list[str],
) -> None:
    """An analytics engineer's slip: the file, and the key or name in it."""
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new, 1))
    home = make_home(project=project)

    refused(call("run"), *words)
    untouched(home)
    code, out, _ = call("check", "--json")
    assert code == 1
    assert any(words[-1] in problem for problem in json.loads(out)["problems"])


def test_a_warehouse_held_by_another_process_is_named(
    call: Callable[..., Answer], make_home: Callable[..., Home]
) -> None:
    home = make_home()
    home.prepare()
    code = f"import duckdb, sys; c = duckdb.connect({str(home.settings.warehouse_path)!r}); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"

        refused(call("run"), "warehouse.duckdb", "locked", str(holder.pid))
    finally:
        holder.communicate("")
    untouched(home)


def test_a_second_tick_at_once_is_refused(call: Callable[..., Answer], make_home: Callable[..., Home]) -> None:
    """Two schedulers that fire at the same time: one works, the other says who does."""
    home = make_home()
    with home.alone():
        refused(call("run"), "a tick is running", str(os.getpid()))


def test_a_ledger_of_a_newer_version_is_refused(call: Callable[..., Answer], make_home: Callable[..., Home]) -> None:
    home = make_home()
    with home.ledger():
        pass
    with sqlite3.connect(home.path / "ledger.sqlite") as connection:
        (table,) = connection.execute("select name from sqlite_master where name like '%revision%'").fetchone()
        connection.execute(f"update {table} set version_num = '9999'")

    refused(call("run"), "9999")


def test_no_smtp_server_is_said_before_anything_happens(
    call: Callable[..., Answer], make_home: Callable[..., Home]
) -> None:
    home = make_home(channel="smtp", smtp_url="smtp://127.0.0.1:1", allow_list="@customer.example")

    refused(call("run"), "POSTRIDER_SMTP_URL", "127.0.0.1:1")
    untouched(home)


def test_smtp_without_a_url_is_refused(call: Callable[..., Answer], make_home: Callable[..., Home]) -> None:
    make_home(channel="smtp")

    refused(call("run"), "POSTRIDER_SMTP_URL")


def test_a_home_that_cannot_be_written_is_named(
    call: Callable[..., Answer], make_home: Callable[..., Home], tmp_path: Path
) -> None:
    """A file in the way, which stops a superuser too."""
    (tmp_path / "file").write_text("")
    make_home(home=tmp_path / "file" / "home")

    refused(call("run"), "POSTRIDER_HOME", "file")


@pytest.mark.slow
def test_a_tick_before_the_last_one_is_refused(call: Callable[..., Answer], make_home: Callable[..., Home]) -> None:
    """History can't be sent again."""
    make_home()
    assert call("run", "--json")[0] == 0

    refused(call("run", "--as-of", "2026-08-31T09:00:00Z"), "2026-08-31", "2026-09-01")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs the superuser")
@pytest.mark.slow
def test_a_full_disk_stops_cleanly(call: Callable[..., Answer], make_home: Callable[..., Home], tmp_path: Path) -> None:
    """On a tmpfs of 24 MiB: one line, no mail half written, and the ledger still holds."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        home = make_home(home=small / "home")
        code, out, err = call("run")

        assert code == 2, (out, err)
        assert "full" in err.lower() or "space" in err.lower(), err
        assert "Traceback" not in err
        shutil.rmtree(small / "home" / "dagster", ignore_errors=True)  # room for the check itself
        with home.ledger() as ledger:
            assert ledger.verify()["ok"]
    finally:
        subprocess.run(["umount", str(small)], check=True)
