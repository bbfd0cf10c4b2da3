"""The connection: which database, how durable, which schema revision, who may write.

SQLite is one file with mode 0600, PostgreSQL is reached by psycopg. Writers begin IMMEDIATE on SQLite, so that two of them never both
read before they write; on PostgreSQL rows and the chain head are locked instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.event
import sqlalchemy.exc
from sqlalchemy.dialects import postgresql

from dagster_project.ledger.chain import Write, canonical_json
from dagster_project.ledger.schema import HEAD_REVISION, VERSION_TABLE
from dagster_project.lifecycle.errors import InputError, LostConnectionError

try:  # a SQLite new enough for WAL; where it has no wheel, Python's own, in the mode that is safe for its version
    from pysqlite3 import dbapi2 as _newest
except ImportError:
    import sqlite3 as _newest
sqlite: Any = _newest

BUSY_TIMEOUT_MS = 30_000  # longer than any batch of ours holds the lock
CONNECT_TIMEOUT_S = 10
# Without these two a host that lost its power inside a transaction, or a process that was stopped there, kept the chain head locked, and
# every worker on every other host waited for it: two hours by the systems' own keepalives, or for ever.
SILENT_SECONDS = 30  # then whoever is at the other end is gone
STANDSTILL_SECONDS = 300  # longer than any write of ours thinks between two statements
CHECKPOINT_PAGES = 8_000  # 32 MB of log: with SQLite's 1,000 every batch of mails would be written twice at once
MIGRATION_LOCK = 7_306_155_001  # advisory lock on PostgreSQL: two processes may open an empty ledger at once


def utc(moment: datetime) -> datetime:
    """UTC and naive, as all times here are."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def durability_pragmas(sqlite_version: tuple[int, ...]) -> tuple[str, ...]:
    """WAL where it is safe, else a rollback journal.

    SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when two connections write or checkpoint at the same moment (the WAL-reset
    defect, fixed in 3.51.3). The ledger has several writers (a tick, the desk, the command line), so before that version it
    takes the slower journal. EXTRA also syncs the folder after the journal is deleted: without that, a power cut could bring the journal
    back and roll a committed `sending` mark away, and the message would go out twice. With WAL, FULL gives the same promise.
    """
    if sqlite_version >= (3, 51, 3):
        return "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}"
    return "PRAGMA journal_mode=DELETE", "PRAGMA synchronous=EXTRA"


class Database:
    """An open ledger database at the newest revision. `clock` gives `recorded_at`."""

    def __init__(self, url: str, clock: Callable[[], datetime]) -> None:
        parsed = _parse(url)
        self.url = _masked(parsed)
        self._clock = clock
        if parsed.get_backend_name() == "sqlite":
            self._path: Path | None = _prepare_file(parsed, self.url)
            self.engine = _sqlite_engine(parsed)
        else:
            self._path = None
            self.engine = _postgresql_engine(parsed)
        try:
            self._migrate()
        except BaseException:
            self.engine.dispose()
            raise

    def now(self) -> datetime:
        return utc(self._clock())

    def clock_error(self) -> timedelta:
        """How far our clock is ahead of the database's. A ledger in a file is on this machine, and so is its clock."""
        with self.read() as connection:
            if connection.dialect.name == "postgresql":
                theirs = sa.func.timezone("utc", sa.func.clock_timestamp(), type_=sa.DateTime)
                return self.now() - connection.execute(sa.select(theirs)).scalar_one()
            theirs = connection.execute(sa.select(sa.func.strftime("%Y-%m-%d %H:%M:%f", "now"))).scalar_one()
            return self.now() - datetime.fromisoformat(theirs)

    @contextlib.contextmanager
    def write(self) -> Iterator[Write]:
        """One transaction: commits with its events, or leaves no trace."""
        with self._one_line(), self.engine.connect() as connection:
            connection = connection.execution_options(immediate=True)
            with connection.begin():
                write = Write(connection, self.now())
                yield write
                write.flush()

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view on SQLite; statement by statement on PostgreSQL, unless `snapshot` is used."""
        with self._one_line(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """One consistent view over many statements, on both databases, for as long as it takes: it keeps nobody waiting."""
        with self._one_line(), self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                yield connection

    def close(self) -> None:
        self.engine.dispose()

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        """What the database cannot do (locked, full, gone) is one line; a violated constraint stays the defect it is."""
        try:
            yield
        except sqlalchemy.exc.DBAPIError as error:
            line = f"ledger {self.url}: {_first_line(error)}"
            if error.connection_invalidated or _is_starting_or_stopping(error):
                raise LostConnectionError(line) from error
            if isinstance(error, sqlalchemy.exc.OperationalError):
                raise InputError(line) from error
            raise

    def _migrate(self) -> None:
        try:
            with self.engine.connect() as connection:
                connection = connection.execution_options(immediate=True)
                with connection.begin():
                    if connection.dialect.name == "postgresql":
                        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                    _bring_to_head(connection, self.url)
                    _check_writable(connection, self.url)
        except sqlalchemy.exc.DBAPIError as error:
            raise InputError(_explain(error, self.url, self._path)) from error


def among(connection: sa.Connection, column: sa.ColumnElement[Any], values: Collection[str]) -> sa.ColumnElement[bool]:
    """`column in values` as one parameter, however many values there are."""
    dialect = connection.dialect.name
    return listed(dialect, column, "listed").params(listed=as_list(dialect, values))


def listed(dialect: str, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """As `among`, for a statement that is made once and run with `name=as_list(dialect, values)`: making one takes ten times as
    long as running it."""
    if dialect == "postgresql":
        return column == sa.func.any(sa.bindparam(name, type_=postgresql.ARRAY(sa.Text)))
    each = sa.func.json_each(sa.bindparam(name, type_=sa.Text)).table_valued("value", name=name)
    return column.in_(sa.select(each.c.value))


def as_list(dialect: str, values: Collection[str]) -> list[str] | str:
    """The parameter that `listed` compares with."""
    return list(values) if dialect == "postgresql" else canonical_json(list(values))


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise InputError(
            "ledger URL cannot be read; allowed: sqlite:///path/to/file or postgresql://user@host/database"
        ) from None
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InputError(
        f"ledger URL {_masked(parsed)}: allowed are sqlite:///path/to/file and postgresql://user@host/database"
    )


def _masked(url: sa.URL) -> str:
    query = {key: "***" if "pass" in key else value for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def _prepare_file(url: sa.URL, name: str) -> Path:
    """Create the file before SQLite does, so that it is never readable by others, not even for a moment."""
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = not path.exists()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if is_new:
            _keep_names(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise InputError(f"ledger {name} cannot be written: {error.strerror}") from error
    return path


def _keep_names(path: Path) -> None:
    """Sync each folder above a new file. SQLite syncs the one that it writes in, but a power cut could still take a new home away
    as a whole, and with it the marks of mails that had left."""
    for folder in path.resolve().parents:
        with contextlib.suppress(OSError):  # whoever may not read it did not make it
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, module=sqlite, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @sqlalchemy.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in (
            f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
            *durability_pragmas(sqlite.sqlite_version_info),
            "PRAGMA foreign_keys=ON",
        ):
            connection.execute(pragma)

    @sqlalchemy.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def patience_of_the_line() -> dict[str, Any]:
    """How psycopg finds out that the server's host is gone, in libpq's words and units."""
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": SILENT_SECONDS // 3,
        "keepalives_interval": SILENT_SECONDS // 6,
        "keepalives_count": 4,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
    }


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    """The server finds out about us in the same way: the settings are those of the session."""
    engine = sa.create_engine(url, connect_args=patience_of_the_line(), use_insertmanyvalues=True)

    @sqlalchemy.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.execute(
            f"SET tcp_keepalives_idle = {SILENT_SECONDS // 3}; SET tcp_keepalives_interval = {SILENT_SECONDS // 6};"
            f"SET tcp_keepalives_count = 4; SET tcp_user_timeout = '{SILENT_SECONDS}s';"
            f"SET idle_in_transaction_session_timeout = '{STANDSTILL_SECONDS}s'"
        )
        connection.commit()

    return engine


def _bring_to_head(connection: sa.Connection, name: str) -> None:
    tables = set(sa.inspect(connection).get_table_names())
    if VERSION_TABLE not in tables and tables:
        raise InputError(f"{name} is not a ledger: it holds other tables ({min(tables)}); name an empty database")
    revision = None
    if VERSION_TABLE in tables:
        revision = connection.exec_driver_sql(f"SELECT max(version_num) FROM {VERSION_TABLE}").scalar()
    if revision == HEAD_REVISION:
        return

    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise InputError(
            f"ledger {name} has schema revision {revision}; this version knows up to {HEAD_REVISION}: use a newer Postrider"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check_writable(connection: sa.Connection, name: str) -> None:
    """SQLite has proven it by BEGIN IMMEDIATE."""
    if (
        connection.dialect.name == "postgresql"
        and not connection.execute(
            sa.text(
                "SELECT current_setting('transaction_read_only') = 'off' AND has_table_privilege('events', 'INSERT')"
                " AND has_table_privilege('chain_head', 'UPDATE')"
            )
        ).scalar()
    ):
        raise InputError(f"ledger {name} cannot be written: the user may only read")


def _explain(error: sqlalchemy.exc.DBAPIError, name: str, path: Path | None) -> str:
    line = _first_line(error)
    if "not a database" in line or "malformed" in line:
        return f"{name} is not a ledger: {line}"
    if path is not None and ("readonly" in line or "unable to open" in line):
        return f"ledger {name} cannot be written: {line}"
    if "permission denied" in line or "read-only" in line:
        return f"ledger {name} cannot be written: {line}"
    return f"ledger {name} cannot be reached: {line}"


def _is_starting_or_stopping(error: sqlalchemy.exc.DBAPIError) -> bool:
    """PostgreSQL refuses connections while it restarts (class 57P0x), or nothing listens yet (no code at all)."""
    import psycopg  # here, as in store.py: a ledger in SQLite has no use for it

    if not isinstance(error.orig, psycopg.OperationalError):
        return False
    return error.orig.sqlstate is None or error.orig.sqlstate.startswith("57P0")


def _first_line(error: sqlalchemy.exc.DBAPIError) -> str:
    return next((line.strip() for line in str(error.orig).splitlines() if line.strip()), type(error.orig).__name__)
