"""A real PostgreSQL server of the tests' own, in a temporary folder: started, hurt, and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

LOOPBACK = "127.0.0.1"


class MissingError(RuntimeError):
    """There is no PostgreSQL here, or it cannot be run. One line."""


class PostgreSQL:
    """One server with its data in a folder of its own. It believes whoever reaches one of its addresses."""

    def __init__(self, folder: Path, addresses: Sequence[str] = (LOOPBACK,), *, is_durable: bool = False) -> None:
        self._folder, self._addresses, self._is_durable = folder, addresses, is_durable
        self._data = folder / "data"
        self._owner, self._binaries = _found()
        if self._owner:
            shutil.chown(folder, self._owner)
        self.port = _free_port()
        make = ["initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"]
        self._run(*make)
        with (self._data / "pg_hba.conf").open("a") as file:
            file.writelines(f"host all all {address}/24 trust\n" for address in addresses if address != LOOPBACK)
        self.start()

    def url(self, address: str = LOOPBACK, database: str = "postgres") -> str:
        return f"postgresql://postgres@{address}:{self.port}/{database}"

    def start(self) -> None:
        """Until it answers, which after a kill is after its recovery."""
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += ["-k", str(self._folder), *([] if self._is_durable else ["-F"])]
        command += ["-c", f"listen_addresses={','.join(self._addresses)}", "-c", "max_connections=50"]
        with (self._folder / "log").open("ab") as log:
            self._postmaster = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, user=self._owner)
        engine = sa.create_engine(
            self.url(self._addresses[0]).replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool
        )
        given_up = time.monotonic() + 60
        while time.monotonic() < given_up:
            with contextlib.suppress(sa.exc.OperationalError), engine.connect():
                return
            if self._postmaster.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended while starting: {self._last_words()}")
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start within a minute: {self._last_words()}")

    def stop(self) -> None:
        """As it should be stopped: what is open is rolled back, everything is written out."""
        self._postmaster.send_signal(signal.SIGINT)
        self._postmaster.wait(timeout=60)

    def stop_immediately(self) -> None:
        """`pg_ctl stop -m immediate`: every process quits where it stands, and the next start has to recover."""
        self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate")
        self._postmaster.wait(timeout=60)

    def kill(self) -> None:
        """SIGKILL to the postmaster, which would start new children and recover, and then to the children it has."""
        number = self._postmaster.pid
        children = [int(one) for one in Path(f"/proc/{number}/task/{number}/children").read_text().split()]
        self._postmaster.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._postmaster.wait(timeout=60)

    def cpu_seconds(self) -> float:
        """Processor time of the server and all its children, those that have ended included."""
        number = self._postmaster.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        return _cpu_seconds(number, 4) + sum(_cpu_seconds(int(child), 2) for child in children)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, user=self._owner)

    def _last_words(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-500:]


@contextlib.contextmanager
def running(addresses: Sequence[str] = (LOOPBACK,), *, is_durable: bool = False) -> Iterator[PostgreSQL]:
    """A server that is stopped and removed at the end. MissingError where there can be none."""
    folder = Path(tempfile.mkdtemp(prefix="ledger-pg-"))
    try:
        server = PostgreSQL(folder, addresses, is_durable=is_durable)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running_or_skipped(addresses: Sequence[str] = (LOOPBACK,)) -> Iterator[PostgreSQL]:
    try:
        _found()
    except MissingError as missing:
        pytest.skip(str(missing))
    with running(addresses) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A real server of its own in a temporary folder, or a skip."""
    with running_or_skipped() as server:
        yield server.url()


def dumped(url: str, schema: str) -> str:
    """What makes this schema anew, with its rows, as statements that may be sent at once."""
    command = [str(_found()[1] / "pg_dump"), "--schema", schema, "--inserts", url]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in told.splitlines() if not line.startswith("\\"))  # those are psql's own


def _found() -> tuple[str | None, Path]:
    """The user that the server runs as, None: ours; and the folder of its programs."""
    found = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        raise MissingError("PostgreSQL is not installed: no initdb in /usr/lib/postgresql or on the PATH")
    if os.getuid() != 0:
        return None, Path(initdb).parent
    if subprocess.run(["id", "postgres"], check=False, capture_output=True).returncode:
        raise MissingError("PostgreSQL refuses to run as root, and there is no user postgres")
    return "postgres", Path(initdb).parent


def _cpu_seconds(process: int, fields: int) -> float:
    """utime and stime, and with four fields also those of its children that have ended (proc(5))."""
    try:
        told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it ended meanwhile
        return 0.0
    return sum(map(int, told[11 : 11 + fields])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
