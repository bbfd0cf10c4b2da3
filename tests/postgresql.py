"""A real PostgreSQL server of the tests' own, on loopback, in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A real server of its own in a temporary folder, or a skip."""
    found = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql or on the PATH")
    as_owner: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        if (
            shutil.which("runuser") is None
            or subprocess.run(["id", "postgres"], check=False, capture_output=True).returncode
        ):
            pytest.skip("PostgreSQL cannot run as root, and there is no runuser or no user postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    folder = Path(tempfile.mkdtemp(prefix="ledger-pg-"))
    try:
        if as_owner:
            shutil.chown(folder, "postgres")
        data, binaries = folder / "data", Path(initdb).parent
        make = [initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"]
        subprocess.run([*as_owner, *make], check=True, capture_output=True, cwd=folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        serve = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-F"]
        with (folder / "log").open("wb") as log:
            command = [*as_owner, *serve, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=50"]
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            _wait_for(url, server)
            yield url
        finally:
            pid_file = data / "postmaster.pid"
            if pid_file.exists():  # runuser stands between us and the server, so the server's own word is taken
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid_file.read_text().split()[0]), 2)  # SIGINT: fast shutdown
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    for _ in range(200):
        with contextlib.suppress(sa.exc.OperationalError), engine.connect():
            return
        assert server.poll() is None, "the PostgreSQL server ended while starting"
        time.sleep(0.05)
    pytest.fail("the PostgreSQL server did not start within 10 s")
