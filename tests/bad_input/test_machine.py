"""A machine in the way: locks, disks, ports, folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.adapters.home_folder import alone
from dagster_project.home import Home
from dagster_project.ledger.database import sqlite

pytestmark = pytest.mark.slow  # each reads the dbt project anew

Answer = tuple[int, str, str]
Call = Callable[..., Answer]
Refused = Callable[..., None]
Untouched = Callable[[Home], None]
ROOT = Path(__file__).parent.parent.parent


def test_a_warehouse_held_by_another_process_is_named(
    call: Call, make_home: Callable[..., Home], refused: Refused, untouched: Untouched
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


def test_a_second_tick_at_once_is_refused(call: Call, make_home: Callable[..., Home], refused: Refused) -> None:
    """Two schedulers that fire at the same time: one works, the other says who does."""
    home = make_home()
    with alone(home.path):
        refused(call("run"), "a tick is running", str(os.getpid()))


def test_a_ledger_of_a_newer_version_is_refused(call: Call, make_home: Callable[..., Home], refused: Refused) -> None:
    home = make_home()
    with home.ledger():
        pass
    with sqlite.connect(home.path / "ledger.sqlite") as connection:
        (table,) = connection.execute("select name from sqlite_master where name like '%revision%'").fetchone()
        connection.execute(f"update {table} set version_num = '9999'")

    refused(call("run"), "9999")


def test_no_smtp_server_is_said_before_anything_happens(
    call: Call, make_home: Callable[..., Home], refused: Refused, untouched: Untouched
) -> None:
    home = make_home(channel="smtp", smtp_url="smtp://127.0.0.1:1", allow_list="@customer.example")

    refused(call("run"), "POSTRIDER_SMTP_URL", "127.0.0.1:1")
    untouched(home)


def test_smtp_without_a_url_is_refused(call: Call, make_home: Callable[..., Home], refused: Refused) -> None:
    make_home(channel="smtp")

    refused(call("run"), "POSTRIDER_SMTP_URL")


def test_a_home_that_cannot_be_written_is_named(
    call: Call, make_home: Callable[..., Home], tmp_path: Path, refused: Refused
) -> None:
    """A file in the way, which stops a superuser too."""
    (tmp_path / "file").write_text("")
    make_home(home=tmp_path / "file" / "home")

    refused(call("run"), "POSTRIDER_HOME", "file")


@pytest.mark.slow
def test_a_tick_before_the_last_one_is_refused(call: Call, make_home: Callable[..., Home], refused: Refused) -> None:
    """History can't be sent again."""
    make_home()
    assert call("run", "--json")[0] == 0

    refused(call("run", "--as-of", "2026-08-31T09:00:00Z"), "2026-08-31", "2026-09-01")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs the superuser")
@pytest.mark.slow
def test_a_full_disk_stops_cleanly(call: Call, make_home: Callable[..., Home], tmp_path: Path) -> None:
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
