"""A released audience, a recording server, a worker in a process of its own, and the one judgement after every fault."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dagster_project.adapters import delivering
from dagster_project.adapters.channels.smtp import SmtpChannel, Timeouts
from dagster_project.adapters.channels.smtp_url import SmtpServer
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.ledger import Ledger, open_ledger
from tests.released import AS_OF, Recorder, release

HERE = Path(__file__).parent
LEASE_SECONDS = 1.0  # long enough for a batch, short enough to wait for its end
LETTERHEAD = Letterhead("Ledgerline <hello@ledgerline.example>", "ledgerline.example", AS_OF)
_numbers = itertools.count(1)


@dataclasses.dataclass
class Scene:
    """One ledger with a released audience, and a recording server."""

    url: str
    count: int
    recorder: Recorder
    notes: Path
    remove: Callable[[], None] = lambda: None  # the ledger: a thousand on PostgreSQL would take 9 GB

    def close(self) -> None:
        """Its server and its ledger are of no more use."""
        self.recorder.__exit__()
        self.remove()

    def worker(
        self, *wrapped_in: str, notes: Path | None = None, is_waiting: bool = False, **environment: str
    ) -> subprocess.Popen[str]:
        """A worker in its own process, started by the given command if there is one; `notes` of its own where it is on another host.
        One that is waiting wants to be told: `go`."""
        command = [*wrapped_in, sys.executable, str(HERE / "worker.py"), self.url]
        return subprocess.Popen(
            [*command, f"{self.recorder.host}:{self.recorder.port}", str(LEASE_SECONDS), str(notes or self.notes)],
            stdin=subprocess.PIPE if is_waiting else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment | ({"WORKER_WAITS": "1"} if is_waiting else {}),
        )

    def at_once(self, workers: int, *wrapped_in: str, **options: Any) -> list[subprocess.Popen[str]]:
        """So many workers, which go when all have opened the ledger and the connection to the server."""
        return go([self.worker(*wrapped_in, is_waiting=True, **options) for _ in range(workers)])

    def await_first(self) -> None:
        """Until the first mail was accepted: imports take longer than the sends that are to be hurt."""
        self.await_mails(1)

    def await_mails(self, count: int) -> None:
        give_up = time.monotonic() + 60
        while len(self.recorder.lines()) < count:
            assert time.monotonic() < give_up, f"not {count} mails in a minute"
            time.sleep(0.002)

    def open(self) -> Ledger:
        return open_ledger(self.url, utc_now)

    def resume(self) -> None:
        """What the next worker does by itself once the leases are over; nobody lends a hand."""
        with self.open() as ledger:
            if any(message.state in ("claimed", "sending") for message in ledger.messages()):
                time.sleep(LEASE_SECONDS + 0.05)
            server = SmtpServer(self.recorder.host, self.recorder.port)
            with SmtpChannel(server, timeouts=Timeouts(final_reply=5)) as channel:
                delivering.deliver(ledger, channel, LETTERHEAD, worker="resumed", clock=utc_now, notes=self.notes)

    def judge(self, *, lost_for_now: Sequence[str] = ()) -> Counter[str]:
        """No message lost, none twice, every invariant holds; how many ended in each state.

        A message may be in doubt (`unknown`), or wait to be tried again, where the fault leaves no other truth.
        """
        with self.open() as ledger:
            accepted = self.recorder.accepted(ledger)
            report = ledger.verify(accepted)
            states = Counter(message.state for message in ledger.messages())
        assert [one for one in report["invariants"] if not one["ok"]] == []
        assert report["chain"]["ok"]
        assert not [one for one, times in accepted.items() if times > 1], "twice"
        assert sum(states.values()) == self.count
        assert not set(states) - {"sent", "unknown", *lost_for_now}, states
        return states


@pytest.fixture
def figures(database: str) -> Callable[..., None]:
    """Tells what a fault came to: a line for `docs/faults.md`, when `make faults` asks for it."""

    def tell(fault: str, **found: Any) -> None:
        path = os.environ.get("FAULTS_REPORT")
        if path:
            line = json.dumps({"fault": fault, "database": database, **found})
            with Path(path).open("a") as report:
                report.write(line + "\n")

    return tell


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_ledger(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Callable[..., str]:
    """Each call is the URL of a fresh ledger with so many released messages, or an empty one, copied from one that was made once."""
    templates: dict[tuple[int, bool], str] = {}

    def make(count: int, is_released: bool = True) -> str:
        if (count, is_released) not in templates:
            templates[count, is_released] = url = _new_url(request, database, tmp_path)
            if is_released:
                release(url, count)
            else:
                open_ledger(url, utc_now).close()
        return _copy(request, database, tmp_path, templates[count, is_released])

    return make


@pytest.fixture
def make_scene(
    request: pytest.FixtureRequest, make_ledger: Callable[..., str], database: str, tmp_path: Path
) -> Iterator[Callable[..., Scene]]:
    """Each call is a fresh scene: a ledger, and a server with the given options."""
    recorders: list[Recorder] = []

    def make(count: int, *options: str, host: str = "127.0.0.1", is_released: bool = True) -> Scene:
        url = make_ledger(count, is_released)
        recorder = Recorder(tmp_path / f"record-{next(_numbers)}", *options, host=host)
        recorders.append(recorder)
        return Scene(
            url, count, recorder, tmp_path / f"notes-{next(_numbers)}", lambda: _remove(request, database, url)
        )

    yield make
    for recorder in recorders:
        recorder.__exit__()


def _new_url(request: pytest.FixtureRequest, database: str, folder: Path) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder / f'template-{next(_numbers)}.sqlite'}"
    name = f"faults_{next(_numbers)}"
    _administer(request, f"CREATE DATABASE {name}")
    return re.sub(r"/postgres$", f"/{name}", request.getfixturevalue("postgresql_url"))


def _copy(request: pytest.FixtureRequest, database: str, folder: Path, template: str) -> str:
    if database == "sqlite":
        path = folder / f"ledger-{next(_numbers)}.sqlite"
        shutil.copy(template.removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"
    name = f"faults_{next(_numbers)}"
    _administer(request, f"CREATE DATABASE {name} TEMPLATE {template.rpartition('/')[2]}")
    return re.sub(r"/[^/]*$", f"/{name}", template)


def _remove(request: pytest.FixtureRequest, database: str, url: str) -> None:
    if database == "sqlite":
        Path(url.removeprefix("sqlite:///")).unlink()
    else:
        _administer(request, f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


def _administer(request: pytest.FixtureRequest, statement: str) -> None:
    server = request.getfixturevalue("postgresql_url").replace("postgresql:", "postgresql+psycopg:")
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


def go(workers: Sequence[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Let them begin together: by itself the first one may be done before the last has imported what it needs."""
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", worker.communicate()[1]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return list(workers)


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a worker printed at its end."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return json.loads(out)
