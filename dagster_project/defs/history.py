"""Dagster's history of runs, written over connections that stay open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData


class KeptEventLog(SqliteEventLogStorage):
    """Dagster's own event log in SQLite, the same files with the same rows, for one process that writes some 400 events.

    Dagster opens an engine for each statement and throws it away with the statement's compiled form: some 2,500 of them were a
    quarter of a tick. Here each file has one engine and one connection until the storage is disposed of. A commit is in the
    write-ahead log but not forced to the disk: a power cut may cost the UI the last events of a run. What was decided and sent stands
    in the ledger, which does force it.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._kept: dict[str, sa.Connection] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> KeptEventLog:
        return cls(inst_data=inst_data, **config_value)

    @contextlib.contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            if shard not in self._kept:
                self._kept[shard] = self._open(shard)
            connection = self._kept[shard]
            with connection.begin():
                yield connection

    def _open(self, shard: str) -> sa.Connection:
        # The lock has one thread at a time; SQLite's binding would insist on the same one.
        engine = sa.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=sa.StaticPool,
            connect_args={"timeout": 5, "check_same_thread": False},
        )
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        connection = engine.connect()
        connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
        connection.rollback()  # what SQLAlchemy had begun for the pragma
        return connection

    def dispose(self) -> None:
        with self._db_lock:
            for connection in self._kept.values():
                connection.close()
                connection.engine.dispose()
            self._kept.clear()
        super().dispose()
