"""One worker as `postrider deliver` has it, without the command's imports: the ledger's URL, the server, seconds of a lease.

    python worker.py LEDGER_URL [HOST:]PORT [LEASE_SECONDS [NOTES]]

WORKER_CLOCK_HOURS sets its clock forward or back. With WORKER_WAITS it says when it is ready, and waits for a line. Prints its counts
as JSON. The environment lock is not tested here, so the transport is opened without it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from dagster_project.adapters import delivering
from dagster_project.adapters.channels.smtp import SmtpChannel, Timeouts
from dagster_project.adapters.channels.smtp_url import SmtpServer
from dagster_project.adapters.clock import utc_now
from dagster_project.ledger import database, open_ledger

if "faketime" in os.environ.get("LD_PRELOAD", ""):  # it refuses Python's sleep, which names a time to wake up at
    time.sleep = lambda seconds: select.select([], [], [], seconds)
OFFSET = timedelta(hours=float(os.environ.get("WORKER_CLOCK_HOURS", "0")))
AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")


def clock() -> datetime:
    return utc_now() + OFFSET


def main(url: str, server: str, lease_seconds: str = "120", notes: str = "") -> None:
    delivering.LEASE_SECONDS = float(lease_seconds)
    delivering.RENEW_SECONDS = float(lease_seconds) / 4
    database.SILENT_SECONDS, database.STANDSTILL_SECONDS = 6, 4
    letterhead = delivering.Letterhead("Ledgerline <hello@ledgerline.example>", "ledgerline.example", AS_OF)
    host, _, port = server.rpartition(":")
    patience = Timeouts(connect=5, command=2, final_reply=2, quit=1)
    with (
        open_ledger(url, clock) as ledger,
        SmtpChannel(SmtpServer(host or "127.0.0.1", int(port)), timeouts=patience) as channel,
    ):
        if os.environ.get("WORKER_WAITS"):
            print("ready", flush=True)  # noqa: T201
            sys.stdin.readline()
        counts = delivering.deliver(
            ledger,
            channel,
            letterhead,
            worker=f"worker:{socket.gethostname()}:{os.getpid()}",
            clock=clock,
            batch=50,
            notes=Path(notes) if notes else None,
        )
    print(json.dumps(counts.as_dict()))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
