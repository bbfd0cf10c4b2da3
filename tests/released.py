"""A released audience and a server that records what it accepts: for whatever sends."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from dagster_project.adapters.clock import utc_now
from dagster_project.ledger import Ledger, open_ledger
from dagster_project.lifecycle.message import Draft, PlannedMessage
from tests.ledgers import new_ledger

AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")
UNSUBSCRIBE = "https://mail.ledgerline.example/u/abc"
ADDRESS = "Ledgerline GmbH, Hauptstr. 1, 10827 Berlin"
RECORDER = Path(__file__).parent / "faults" / "recorder.py"


def planned(number: int) -> PlannedMessage:
    return PlannedMessage(
        message_id=f"m{number:05}",
        campaign_id="welcome",
        user_id=f"u{number}",
        account_id=None,
        occurrence_key="signup",
        decision_id=f"d{number}",
        policy_hash="0" * 64,
        message_type="product_tips",
        channel="email",
        variant="default",
        locale="en",
        email=f"user{number}@customer.example",
        facts={"first_name": "Ada"},
        send_after=None,
        send_before=None,
        caps="[[1,24],[3,168]]",
    )


def draft_of(message: PlannedMessage) -> Draft:
    return Draft(
        message_id=message.message_id,
        mode="template",
        mode_asked="template",
        fallback_reason=None,
        locale="en",
        subject="Welcome",
        preheader="",
        html=f'<p>Hello Ada</p>\n<p><a href="{UNSUBSCRIBE}">Unsubscribe</a></p>\n<p>{ADDRESS}</p>\n',
        text=f".Hello Ada\n\nUnsubscribe: {UNSUBSCRIBE}\n{ADDRESS}\n",  # the dot is what dot-stuffing is for
        unsubscribe_url=UNSUBSCRIBE,
        recipe={"template": "0" * 64},
    )


def release(url: str, count: int, clock: Callable[[], datetime] = utc_now) -> None:
    """So many messages on their way from plan to release, which holds for six hours, as one tick would bring them there."""
    messages = [planned(number) for number in range(count)]
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:") and not path.exists():
        new_ledger(path)
    with open_ledger(url, clock) as ledger:
        ledger.begin_tick("run-1", AS_OF, "demo")
        ledger.plan(messages, "run-1", AS_OF, "demo")
        ledger.record_drafts([draft_of(message) for message in messages], "run-1", AS_OF)
        ledger.route(dict.fromkeys([message.message_id for message in messages], "approved"), "run-1", AS_OF)
        ledger.record_gate("run-1", AS_OF, "decide", True, [])
        ledger.release("run-1", AS_OF, "demo", ["decide"], timedelta(hours=6), "policy")


class Recorder:
    """The server in its process, and what it wrote down."""

    def __init__(self, record: Path, *options: str, host: str = "127.0.0.1") -> None:
        self._record, self.host = record, host
        command = [sys.executable, str(RECORDER), "--record", str(record), "--host", host, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def accepted(self, ledger: Ledger) -> dict[str, int]:
        """message_id → how often it was accepted. Message-IDs are hashes of ours."""
        ids = {
            f"<{hashlib.sha256(f'postrider:{one.message_id}'.encode()).hexdigest()[:32]}@ledgerline.example>": one.message_id
            for one in ledger.messages()
        }
        return dict(Counter(ids[line.split()[0]] for line in self.lines()))

    def lines(self) -> list[str]:
        """One per accepted message."""
        return self._record.read_text().splitlines()
