"""Opening a ledger: made, migrated, refused."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dagster_project.ledger import database, open_ledger
from dagster_project.ledger.database import sqlite
from dagster_project.ledger.schema import HEAD_REVISION, VERSION_TABLE, metadata
from dagster_project.lifecycle.errors import InputError

from .conftest import _opened

if TYPE_CHECKING:
    from .conftest import Clock, World


def test_an_empty_database_becomes_a_ledger_that_can_be_opened_again(empty_url: str) -> None:
    with _opened(empty_url) as world:
        world.plan()
    with open_ledger(world.url, world.clock) as again:
        assert [message.message_id for message in again.messages()] == ["m0001"]
        assert again.verify()["ok"]


def test_the_migrations_build_what_the_schema_says(empty_url: str) -> None:
    with _opened(empty_url) as world, world.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_the_head_revision_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD_REVISION


def test_a_newer_revision_is_refused_and_left_alone(world: World) -> None:
    world.doctor(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")

    with pytest.raises(InputError, match=f"schema revision 9999; this version knows up to {HEAD_REVISION}"):
        open_ledger(world.url, world.clock)
    with world.engine.connect() as connection:
        assert connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"


def test_a_database_with_other_tables_is_not_a_ledger(world: World) -> None:
    world.doctor(f"DROP TABLE {VERSION_TABLE}")

    with pytest.raises(InputError, match="is not a ledger"):
        open_ledger(world.url, world.clock)


def test_a_ledger_that_another_process_holds_is_one_line(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    with open_ledger(sqlite_world.url, sqlite_world.clock) as impatient:
        holder = sqlite.connect(sqlite_world.url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match="database is locked") as caught:
            impatient.begin_tick("run-1", sqlite_world.as_of, "demo")
        holder.close()

    assert "\n" not in str(caught.value)
    assert sqlite_world.ledger.last_tick() is None


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, but long enough to look for a header" * 20)

    with pytest.raises(InputError, match="is not a ledger") as caught:
        open_ledger(f"sqlite:///{path}", clock_that_is_not_asked)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        open_ledger(f"sqlite:///{tmp_path}", clock_that_is_not_asked)


def test_a_missing_folder_is_made_for_the_owner_alone(tmp_path: Path, sqlite_world: World) -> None:
    path = tmp_path / "home" / "ledger.sqlite"
    with open_ledger(f"sqlite:///{path}", sqlite_world.clock):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path, sqlite_world: World) -> None:
    path = tmp_path / "open.sqlite"
    path.touch(0o644)
    with open_ledger(f"sqlite:///{path}", sqlite_world.clock):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_server_that_is_not_there_is_one_line_without_the_password() -> None:
    with pytest.raises(InputError, match="cannot be reached") as caught:
        open_ledger("postgresql://user:hush-hush@127.0.0.1:1/ledger?password=hush-hush", clock_that_is_not_asked)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://user:hush@host/db", "sqlite://", "sqlite:///:memory:"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="allowed") as caught:
        open_ledger(url, clock_that_is_not_asked)
    assert "hush" not in str(caught.value)


def test_a_user_that_may_only_read_is_refused(postgresql_world: World) -> None:
    world = postgresql_world
    schema = world.url.rpartition("%3D")[2]
    reader = f"reader_{schema}"
    world.doctor(f"CREATE ROLE {reader} LOGIN")
    world.doctor(f"GRANT USAGE ON SCHEMA {schema} TO {reader}")
    world.doctor(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}")

    with pytest.raises(InputError, match="may only read"):
        open_ledger(world.url.replace("//postgres@", f"//{reader}@"), world.clock)


def test_wal_is_only_used_where_it_cannot_corrupt() -> None:
    """SQLite before 3.51.3 has the WAL-reset defect."""
    assert database.durability_pragmas((3, 51, 2)) == ("PRAGMA journal_mode=DELETE", "PRAGMA synchronous=EXTRA")
    assert database.durability_pragmas((3, 51, 3))[:2] == ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")


def test_the_connection_has_the_pragmas(sqlite_world: World) -> None:
    world = sqlite_world
    with world.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    wal = sqlite.sqlite_version_info >= (3, 51, 3)
    expected = {"journal_mode": "wal" if wal else "delete", "synchronous": 2 if wal else 3}
    assert found == expected | {"foreign_keys": 1, "busy_timeout": 30_000}


def test_times_with_a_zone_are_stored_as_utc(world: World, new_world: Callable[[], World]) -> None:
    with_zone = world.as_of.astimezone()  # the machine's zone, whichever
    world.ledger.begin_tick("run-9", with_zone, "demo")
    tick = world.ledger.last_tick()

    assert tick is not None
    assert tick.as_of == database.utc(with_zone)
    assert tick.as_of.tzinfo is None


def clock_that_is_not_asked() -> Clock:
    raise AssertionError("the ledger was not opened, so there is nothing to date")
