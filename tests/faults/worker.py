"""One worker as `postrider deliver` has it, without the command's imports: the ledger's URL, the server (or `in_app`), seconds of
a lease.

    python worker.py LEDGER_URL [HOST:]PORT [LEASE_SECONDS [NOTES]]

In place of a SMTP server there may be the base URL of a provider that is spoken to as if it were Resend. WORKER_CLOCK_HOURS sets its
clock forward or back. With WORKER_WAITS it says when it is ready, and waits for a line. Prints its counts as JSON. The environment
lock is not tested here, so the transport is opened without it.
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

from dagster_project.adapters import delivering, repeating
from dagster_project.adapters.channels import Channel, http_post
from dagster_project.adapters.channels.esp import EspChannel
from dagster_project.adapters.channels.in_app import InAppChannel
from dagster_project.adapters.channels.smtp import SmtpChannel, Timeouts
from dagster_project.adapters.channels.smtp_url import SmtpServer
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.ledger import Ledger, database, open_ledger, repeats
from dagster_project.lifecycle.worker import IN_APP, worker_name

if "faketime" in os.environ.get("LD_PRELOAD", ""):  # it refuses Python's sleep, which names a time to wake up at
    time.sleep = lambda seconds: select.select([], [], [], seconds)
OFFSET = timedelta(hours=float(os.environ.get("WORKER_CLOCK_HOURS", "0")))
AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")


def clock() -> datetime:
    return utc_now() + OFFSET


def channel_to(way_out: str, ledger: Ledger) -> Channel:
    """The provider at this URL, the server at this port, or the inbox in the ledger."""
    if way_out.startswith("http"):
        patience = http_post.Timeouts(connect=5, write=2, reply=2)
        return EspChannel("resend", {"api_key": "re_12345678"}, api_url=way_out, timeouts=patience)
    if way_out == IN_APP:
        return InAppChannel(ledger.deliver_to_inbox)
    host, _, port = way_out.rpartition(":")
    patience = Timeouts(connect=5, command=2, final_reply=2, quit=1)
    return SmtpChannel(SmtpServer(host or "127.0.0.1", int(port)), timeouts=patience)


def main(url: str, way_out: str, lease_seconds: str = "120", notes: str = "") -> None:
    delivering.LEASE_SECONDS = float(lease_seconds)
    delivering.RENEW_SECONDS = float(lease_seconds) / 4
    database.SILENT_SECONDS, database.STANDSTILL_SECONDS = 6, 4
    letterhead = Letterhead("Ledgerline <hello@ledgerline.example>", "ledgerline.example", AS_OF)
    repeating.LEASE_SECONDS = float(lease_seconds)
    repeats.FIRST_PAUSE = timedelta(seconds=float(lease_seconds) / 4)
    with open_ledger(url, clock) as ledger, channel_to(way_out, ledger) as channel:
        if os.environ.get("WORKER_WAITS"):
            print("ready", flush=True)  # noqa: T201
            sys.stdin.readline()
        counts = delivering.deliver(
            ledger,
            channel,
            letterhead,
            worker=worker_name(channel.name, None, socket.gethostname(), os.getpid()),
            clock=clock,
            notes=Path(notes) if notes else None,
        )
    print(json.dumps(counts.as_dict()))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
