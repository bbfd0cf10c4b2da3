"""A scheduler that fires when it is told to: a tick of its own, from the plan to the last mail, in the steps of `defs/` without the models.

    python -m tests.faults.scheduler NAME

Each line of its input is LEDGER_URL HOST:PORT MESSAGES; its answer is one line of JSON, the word that stopped it (or null) and how many
mails it sent. It stays, so that a race costs no imports.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

from dagster_project.adapters import delivering
from dagster_project.adapters.channels.smtp import SmtpChannel
from dagster_project.adapters.channels.smtp_url import SmtpServer
from dagster_project.adapters.clock import utc_now
from dagster_project.ledger import Ledger, open_ledger
from dagster_project.lifecycle.errors import InputError, Refusal
from tests.faults.conftest import LETTERHEAD
from tests.released import AS_OF, draft_of, planned


def tick(ledger: Ledger, server: SmtpServer, run_id: str, count: int) -> int:
    """How many mails it sent. Refusal and InputError where the other one was in its way: then the tick stops, as a tick does."""
    ledger.begin_tick(run_id, AS_OF, "demo")
    ledger.plan([planned(number) for number in range(count)], run_id, AS_OF, "demo")
    unrouted = {one.message_id for one in ledger.messages(("planned", "drafted"))}
    ledger.record_drafts([draft_of(planned(int(key[1:]))) for key in sorted(unrouted)], run_id, AS_OF)
    drafted = [one.message_id for one in ledger.messages(("drafted",))]
    ledger.route(dict.fromkeys(drafted, "approved"), run_id, AS_OF)
    ledger.record_gate(run_id, AS_OF, "decide", True, [])
    ledger.release(run_id, AS_OF, "demo", ["decide"], timedelta(hours=6), "policy")
    with SmtpChannel(server) as channel:
        counts = delivering.deliver(ledger, channel, LETTERHEAD, worker=f"{run_id}:{os.getpid()}", clock=utc_now)
    return counts.outcomes.get("sent", 0)


def main(name: str) -> None:
    for number, line in enumerate(sys.stdin):
        url, server, count = line.split()
        host, _, port = server.rpartition(":")
        stopped_by, sent = None, 0
        with open_ledger(url, utc_now) as ledger:
            try:
                sent = tick(ledger, SmtpServer(host, int(port)), f"{name}-{number}", int(count))
            except (InputError, Refusal) as error:
                stopped_by = str(error)
        print(json.dumps({"stopped_by": stopped_by, "sent": sent}), flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
