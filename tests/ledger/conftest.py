"""A ledger on each database, a clock that only moves when told, and the shortest way to a message in any state."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from dagster_project.ledger import Claim, Ledger, Release, open_ledger
from dagster_project.lifecycle.message import Draft, Outcome, PlannedMessage, Result, Sending, content_hash
from tests.ledgers import new_ledger
from tests.postgresql import dumped

AS_OF = datetime(2026, 3, 2, 9)
STAGES = ("audience", "content")
SENDER = "hello@ledgerline.example"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, 7, 123456)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **units: float) -> None:
        self.now += timedelta(**units)


@dataclasses.dataclass
class World:
    """One ledger, its clock, and shortcuts that go through its public calls only."""

    url: str
    clock: Clock
    ledger: Ledger
    as_of: datetime = AS_OF
    run_id: str = "run-1"
    pack: str = "demo"

    @property
    def engine(self) -> sa.Engine:
        """The database behind the ledger's back, for tests that doctor it."""
        return self.ledger._database.engine

    def planned(self, number: int, **changes: Any) -> PlannedMessage:
        base = PlannedMessage(
            message_id=f"m{number:04}",
            campaign_id="welcome",
            user_id=f"u{number}",
            account_id=f"a{number}",
            occurrence_key="signup",
            decision_id=f"d{number}",
            policy_hash="p" * 64,
            message_type="product_tips",
            channel="email",
            variant="default",
            locale="en",
            email=f"Person{number}@Customer.example",
            facts={"first_name": f"Name{number}", "setup_steps_done": number},
            send_after=None,
            send_before=None,
        )
        return dataclasses.replace(base, **changes)

    def draft(self, message_id: str, words: str = "Hello", **changes: Any) -> Draft:
        base = Draft(
            message_id=message_id,
            mode="template",
            mode_asked="assisted",
            fallback_reason="no_model",
            locale="en",
            subject=f"{words}, {message_id}",
            preheader="One step left",
            html=f"<p>{words}, {message_id}</p>",
            text=f"{words}, {message_id}",
            unsubscribe_url="https://mail.ledgerline.example/u/token",
            recipe={"template": "t" * 64, "facts": content_hash(message_id)},
        )
        return dataclasses.replace(base, **changes)

    def plan(self, count: int = 1, **changes: Any) -> list[str]:
        """Begin the tick and plan `count` messages: their ids."""
        self.ledger.begin_tick(self.run_id, self.as_of, self.pack)
        messages = [self.planned(number, **changes) for number in range(1, count + 1)]
        self.ledger.plan(messages, self.run_id, self.as_of, self.pack)
        return [message.message_id for message in messages]

    def drafted(self, count: int = 1, **changes: Any) -> list[str]:
        ids = self.plan(count, **changes)
        self.ledger.record_drafts([self.draft(one) for one in ids], self.run_id, self.as_of)
        return ids

    def routed(self, route: Any = "approved", count: int = 1, **changes: Any) -> list[str]:
        ids = self.drafted(count, **changes)
        self.ledger.route(dict.fromkeys(ids, route), self.run_id, self.as_of)
        return ids

    def pass_gates(self, stages: Sequence[str] = STAGES, *, passed: bool = True) -> None:
        for stage in stages:
            self.ledger.record_gate(self.run_id, self.as_of, stage, passed, [{"sentence": "rows exist", "failed": 0}])

    def release(self) -> Release:
        self.pass_gates()
        return self.ledger.release(self.run_id, self.as_of, self.pack, STAGES, timedelta(hours=6), "postrider")

    def released(self, count: int = 1, **changes: Any) -> list[str]:
        ids = self.routed("approved", count, **changes)
        self.release()
        return ids

    def claim(self, limit: int = 1, worker: str = "worker-1") -> list[Claim]:
        return self.ledger.claim(worker, limit, 60)

    def raw(self, claim: Claim) -> bytes:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = SENDER, claim.message.email, claim.draft.subject
        mail["Message-ID"] = f"<{claim.message.message_id}@ledgerline.example>"
        mail.set_content(claim.draft.text)
        mail.add_alternative(claim.draft.html, subtype="html")
        mail.set_boundary(f"={claim.message.message_id}=")  # else a new one at random for each call
        return bytes(mail)

    def mark(self, claim: Claim, as_of: datetime | None = None) -> str | None:
        return self.mark_as(claim, self.raw(claim), SENDER, claim.message.email, as_of)

    def mark_as(
        self, claim: Claim, raw: bytes, mail_from: str, rcpt_to: str, as_of: datetime | None = None
    ) -> str | None:
        """The reason why this message may not go out, or None when it must."""
        key = claim.message.message_id
        send = Sending(key, claim.lease, claim.draft.draft_hash, raw, mail_from, rcpt_to)
        return self.ledger.mark_sending([send], as_of or self.as_of).get(key)

    def sending(self) -> Claim:
        """One message committed to the send."""
        self.released()
        (claim,) = self.claim()
        assert self.mark(claim) is None
        return claim

    def outcome(self, claim: Claim, outcome: Outcome = "sent", detail: str = "250 ok") -> list[str]:
        """The messages that were no longer this claim's to tell of."""
        result = Result(claim.message.message_id, claim.lease, outcome, detail, "queue-id")
        return self.ledger.record_outcomes([result], self.as_of)

    def state(self, message_id: str = "m0001") -> tuple[str, str | None]:
        (message,) = self.ledger.messages(message_ids=[message_id])
        return message.state, message.state_reason

    def events(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text("SELECT * FROM events ORDER BY seq")).mappings()]

    def doctor(self, statement: str, **values: Any) -> None:
        """Change the database behind the ledger's back."""
        with self.engine.connect() as connection, connection.begin():
            connection.execute(sa.text(statement), values)

    def failed_checks(self, **evidence: Any) -> set[str]:
        """The names of what `verify` finds wrong."""
        report = self.ledger.verify(**evidence)
        failed = {one["id"] for one in report["invariants"] if not one["ok"]}
        return failed | (set() if report["chain"]["ok"] else {"chain"})


_numbers = itertools.count(1)


def _empty_schema(server: str) -> str:
    """A schema of its own on the server: to a ledger, an empty database."""
    name = f"ledger_{next(_numbers)}"
    _execute(server, f"CREATE SCHEMA {name}")
    return _in_schema(server, name)


def _in_schema(server: str, name: str) -> str:
    return f"{server}?options=-csearch_path%3D{name}"


def _execute(server: str, statements: str) -> None:
    with psycopg.connect(server) as connection:
        connection.execute(statements.encode())


@pytest.fixture(scope="session")
def new_schema(postgresql_url: str) -> Callable[[], str]:
    """Each call is the URL of another ledger in which nothing has happened: what the migrations made, once, made anew by its dump."""
    with open_ledger(_empty_schema(postgresql_url), Clock()) as made:
        first = made._database.engine.url.query["options"].rpartition("=")[2]
    statements = dumped(postgresql_url, first)

    def new() -> str:
        name = f"ledger_{next(_numbers)}"
        _execute(postgresql_url, statements.replace(first, name))
        return _in_schema(postgresql_url, name)

    return new


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that holds nothing yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    return _empty_schema(request.getfixturevalue("postgresql_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Each call is the URL of another ledger in which nothing has happened."""
    if request.param == "sqlite":
        return lambda: new_ledger(tmp_path / f"ledger-{next(_numbers)}.sqlite")
    return request.getfixturevalue("new_schema")


@contextlib.contextmanager
def _opened(url: str) -> Iterator[World]:
    clock = Clock()
    with open_ledger(url, clock) as ledger:
        yield World(url, clock, ledger)


@pytest.fixture
def new_world(new_url: Callable[[], str]) -> Iterator[Callable[[], World]]:
    """Each call is a fresh ledger."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(_opened(new_url()))


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    """A fresh ledger on each of the two databases."""
    return new_world()


@pytest.fixture
def sqlite_world(tmp_path: Path) -> Iterator[World]:
    """For what only SQLite does, or where the database makes no difference."""
    with _opened(new_ledger(tmp_path / "ledger.sqlite")) as world:
        yield world


@pytest.fixture
def postgresql_world(new_schema: Callable[[], str], postgresql_url: str) -> Iterator[World]:
    """For what only PostgreSQL does."""
    with _opened(new_schema()) as world:
        yield world
