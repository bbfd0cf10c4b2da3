"""Has anybody stopped the sends? Asked before each mail, so the answer must cost next to nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from dagster_project.ledger.controls import CHANNEL, stopped
from dagster_project.ledger.database import Database, patience_of_the_line, sqlite
from dagster_project.lifecycle.errors import InputError, LostConnectionError


class Watch:
    """The kill switch and the pauses, as of the latest commit. Used in a `with`.

    SQLite is asked for the number of the newest control, some 5 µs. PostgreSQL says by itself when there is one, so that a
    look is a look at the socket.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._seen: int | None = None
        self._standing: tuple[bool, frozenset[str]] = (True, frozenset())  # until it has been asked

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def stopped(self) -> tuple[bool, frozenset[str]]:
        """Whether everything is killed, and the campaigns that are paused. LostConnectionError: it must be asked again,
        on another connection; until there is an answer, nothing may be sent."""
        try:
            if self._connection is None:
                self._open()
            if self._has_changed():
                with self._database.read() as connection:
                    self._standing = stopped(connection)
        except (sqlite.Error, psycopg.Error, InputError) as error:
            self._close()
            raise LostConnectionError(f"ledger {self._database.url}: {error}") from error
        return self._standing

    def _open(self) -> None:
        self._seen = None
        url = self._database.engine.url
        if url.get_backend_name() == "sqlite":
            path = Path(url.database or "").resolve()
            self._connection = sqlite.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=30)
            return
        # Not as a URL: SQLAlchemy writes a blank as `+`, which libpq takes for a plus.
        words, arguments = self._database.engine.dialect.create_connect_args(url)
        ours = {"autocommit": True, **patience_of_the_line()}
        self._connection = psycopg.connect(*words, **{**arguments, **ours})
        self._connection.execute(f"LISTEN {CHANNEL}")

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite.Error, psycopg.Error):
                self._connection.close()
        self._connection = None

    def _has_changed(self) -> bool:
        if isinstance(self._connection, psycopg.Connection):
            told = list(self._connection.notifies(timeout=0))
            is_first, self._seen = self._seen is None, 0
            return is_first or bool(told)
        (newest,) = self._connection.execute("SELECT max(seq) FROM controls").fetchone()
        newest = newest or 0
        has_changed, self._seen = newest != self._seen, newest
        return has_changed
