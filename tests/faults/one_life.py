"""One ledger's whole life, from no folder at all to everything sent, to be traced by `test_power.py`.

    python -m tests.faults.one_life LEDGER_FILE PORT MESSAGES WORKERS TOLD PRAGMA…

After each commit the number of the ledger's last event is written to TOLD: what the process believes to be safe from there on. Groups
are small, so that there are many commits.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator

from dagster_project.adapters import delivering
from dagster_project.adapters.channels.smtp import SmtpChannel
from dagster_project.adapters.channels.smtp_url import SmtpServer
from dagster_project.adapters.clock import utc_now
from dagster_project.ledger import database, open_ledger
from dagster_project.ledger.chain import Write
from tests.faults.conftest import LETTERHEAD
from tests.released import release

GROUP = 3


def tell_commits(file: str) -> None:
    """Have every write say when it is over, in a file that is no part of the ledger."""
    told, write = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), database.Database.write

    @contextlib.contextmanager
    def telling(self: database.Database) -> Iterator[Write]:
        with write(self) as one:
            yield one
        os.write(told, f"{one._seq}\n".encode())

    database.Database.write = telling


def work(url: str, port: int) -> None:
    with open_ledger(url, utc_now) as ledger, SmtpChannel(SmtpServer("127.0.0.1", port)) as channel:
        delivering.deliver(ledger, channel, LETTERHEAD, worker=f"traced:{os.getpid()}", clock=utc_now)


def main(file: str, port: str, messages: str, workers: str, told: str, *pragmas: str) -> None:
    database.durability_pragmas = lambda _version: pragmas
    SmtpChannel.in_flight = GROUP
    tell_commits(told)
    url = f"sqlite:///{file}"
    open_ledger(url, utc_now).close()  # from its first byte under these pragmas: a copied one has lived under others
    release(url, int(messages))
    forks = multiprocessing.get_context("fork")
    processes = [forks.Process(target=work, args=(url, int(port))) for _ in range(int(workers))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


if __name__ == "__main__":
    main(*sys.argv[1:])
