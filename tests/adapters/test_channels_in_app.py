"""The in-app channel: a committed row is a message sent, and doubt ends with asking again."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.adapters.channels.in_app import InAppChannel
from dagster_project.adapters.channels.lock import LockedChannel, read_allow_list
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.delivering import deliver
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.ledger import Ledger, database, open_ledger
from dagster_project.lifecycle.errors import InputError, LostConnectionError, Refusal
from dagster_project.lifecycle.message import Draft, PlannedMessage, Sending
from dagster_project.lifecycle.mime import Built, build
from dagster_project.lifecycle.mime_encoding import BuildError
from tests.ledgers import new_ledger

AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")
LINK = "https://app.ledgerline.example/start"
HTML = f'<p>Hello Ada</p>\n<p><a href="{LINK}">Start</a></p>\n'


def mail(message_id: str = "m001", **changes: Any) -> Built:
    arguments: dict[str, Any] = {
        "sender": "Ledgerline <hello@ledgerline.example>",
        "to_address": "ada@customer.example",
        "subject": "Welcome",
        "text": "Hello Ada\n",
        "html": HTML,
        "unsubscribe_url": "https://mail.ledgerline.example/u/abc",
        "date": AS_OF,
        "sending_domain": "ledgerline.example",
    }
    return build(message_id, **(arguments | changes))


class Told:
    """Stands for the ledger: does in turn as it is told, an exception to raise or None; keeps what it was asked."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = itertools.chain(answers, itertools.repeat(None))
        self.asked: list[tuple[str, str, str, str]] = []

    def __call__(self, message_id: str, subject: str, text: str, html: str) -> bool:
        self.asked.append((message_id, subject, text, html))
        answer = next(self.answers)
        if answer is not None:
            raise answer
        return True


def channel(put: Callable[[str, str, str, str], object]) -> InAppChannel:
    return InAppChannel(put, pause_seconds=0)


_numbers = itertools.count(1)


def schema_of_its_own(server: str) -> str:
    schema = f"in_app_{next(_numbers)}"
    engine = sa.create_engine(server.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    return f"{server}?options=-csearch_path%3D{schema}"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A fresh ledger on each of the two databases."""
    is_sqlite = request.param == "sqlite"
    server = "" if is_sqlite else request.getfixturevalue("postgresql_url")
    url = new_ledger(tmp_path / "ledger.sqlite") if is_sqlite else schema_of_its_own(server)
    with open_ledger(url, utc_now) as opened:
        yield opened


def release(ledger: Ledger, count: int = 1) -> None:
    """So many messages from plan to release, m001 to u1 and so on."""
    planned = [
        PlannedMessage(
            message_id=f"m{number:03}",
            campaign_id="welcome",
            user_id=f"u{number}",
            account_id=None,
            occurrence_key="signup",
            decision_id=f"d{number}",
            policy_hash="0" * 64,
            message_type="product_tips",
            channel="in_app",
            variant="default",
            locale="en",
            email=f"user{number}@customer.example",
            facts={},
            send_after=None,
            send_before=None,
        )
        for number in range(1, count + 1)
    ]
    ledger.begin_tick("run-1", AS_OF, "demo")
    ledger.plan(planned, "run-1", AS_OF, "demo")
    drafts = [
        Draft(
            message_id=one.message_id,
            mode="template",
            mode_asked="template",
            fallback_reason=None,
            locale="en",
            subject=f"Welcome, {one.user_id}",
            preheader="",
            html=HTML,
            text="Hello Ada\n",
            unsubscribe_url="https://mail.ledgerline.example/u/abc",
            recipe={"template": "0" * 64},
        )
        for one in planned
    ]
    ledger.record_drafts(drafts, "run-1", AS_OF)
    ledger.route({one.message_id: "approved" for one in planned}, "run-1", AS_OF)
    ledger.record_gate("run-1", AS_OF, "decide", True, [])
    ledger.release("run-1", AS_OF, "demo", ["decide"], timedelta(hours=6), "policy")


def mark(ledger: Ledger, claims: Any, built: list[Built]) -> None:
    sends = [
        Sending(one.message_id, claim.lease, claim.draft.draft_hash, one.raw, one.mail_from, claim.message.email)
        for claim, one in zip(claims, built, strict=True)
    ]
    assert ledger.mark_sending(sends, AS_OF) == {}


def run(ledger: Ledger, way_out: Any, worker: str = "worker-1") -> dict[str, Any]:
    letterhead = Letterhead("Ledgerline <hello@ledgerline.example>", "ledgerline.example", AS_OF)
    with way_out as opened:
        return deliver(ledger, opened, letterhead, worker=worker, clock=utc_now).as_dict()


def states(ledger: Ledger) -> set[str]:
    return {message.state for message in ledger.messages()}


def test_what_is_released_lands_in_each_persons_inbox_and_is_sent(ledger: Ledger) -> None:
    release(ledger, 5)

    assert run(ledger, channel(ledger.deliver_to_inbox))["sent"] == 5
    for number in range(1, 6):
        (shown,) = ledger.inbox(f"u{number}").messages
        assert (shown.message_id, shown.subject) == (f"m{number:03}", f"Welcome, u{number}")
        assert (shown.text, shown.html, shown.cta_url) == ("Hello Ada\n", HTML, LINK)
    assert states(ledger) == {"sent"}
    assert ledger.verify({f"m{number:03}": 1 for number in range(1, 6)})["ok"]


def test_a_message_that_was_sent_twice_is_there_once(ledger: Ledger) -> None:
    """A crash between the row and its record: the operator says resend, and nothing is shown twice."""
    release(ledger)

    def die(*words: str) -> None:
        ledger.deliver_to_inbox(*words)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ledger, channel(die))
    assert states(ledger) == {"sending"}
    with ledger._database.engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE messages SET lease_expires_at = '2026-01-01 00:00:00.000000'"))
    assert ledger.extend_claims("another", 60) == 1
    assert (states(ledger), ledger.taken_by_inbox(["m001"])) == ({"unknown"}, {"m001"})
    ledger.settle({"m001": "resend"}, "operator", "try", AS_OF)

    assert run(ledger, channel(ledger.deliver_to_inbox))["sent"] == 1
    assert len(ledger.inbox("u1").messages) == 1
    assert ledger.verify()["ok"]


def test_the_next_worker_settles_what_a_lost_one_was_putting_and_goes_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost between the row and its record, with nine others not begun: nobody is asked, nothing is shown twice."""
    release(ledger, 10)

    def die(*words: str) -> None:
        ledger.deliver_to_inbox(*words)
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "record_outcomes", lambda *_: [])  # what is begun has no record
    with pytest.raises(KeyboardInterrupt):
        run(ledger, channel(die), worker="in_app:run-1:host:1")
    monkeypatch.undo()
    with ledger._database.engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE messages SET lease_expires_at = '2026-01-01 00:00:00.000000'"))

    assert run(ledger, channel(ledger.deliver_to_inbox), worker="in_app:run-1:host:2")["sent"] == 9

    assert states(ledger) == {"sent"}
    assert {len(ledger.inbox(f"u{number}").messages) for number in range(1, 11)} == {1}
    assert ledger.verify({f"m{number:03}": 1 for number in range(1, 11)})["ok"]


def test_two_channels_at_once_put_a_message_once(ledger: Ledger) -> None:
    release(ledger, 10)
    claims = ledger.claim("worker-1", 10, 60)
    built = [mail(claim.message.message_id) for claim in claims]
    mark(ledger, claims, built)
    together = threading.Barrier(2)
    receipts: list[str] = []

    def put() -> None:
        with channel(ledger.deliver_to_inbox) as opened:
            together.wait()
            receipts.extend(receipt.outcome for _, receipt in opened.transmit(built))

    threads = [threading.Thread(target=put) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert receipts == ["sent"] * 20
    assert [len(ledger.inbox(f"u{number}").messages) for number in range(1, 11)] == [1] * 10


def test_another_content_under_the_same_id_is_rejected_and_the_first_stays(ledger: Ledger) -> None:
    release(ledger)
    claims = ledger.claim("worker-1", 1, 60)
    mark(ledger, claims, [mail()])
    with channel(ledger.deliver_to_inbox) as opened:
        receipts = [opened.send(mail()), opened.send(mail(text="Another\n"))]

    assert [receipt.outcome for receipt in receipts] == ["sent", "rejected"]
    assert "another content" in receipts[1].detail
    assert not receipts[1].is_channel_down
    assert ledger.inbox("u1").messages[0].text == "Hello Ada\n"


def test_a_commit_whose_answer_was_lost_is_asked_for_again_and_is_there_once(ledger: Ledger) -> None:
    release(ledger)
    asked: list[str] = []

    def lose_the_first_answer(*words: str) -> bool:
        done = ledger.deliver_to_inbox(*words)
        asked.append(words[0])
        if len(asked) == 1:
            raise LostConnectionError("ledger: server closed the connection")
        return done

    counts = run(ledger, channel(lose_the_first_answer))

    assert (counts["sent"], counts["unknown"], asked) == (1, 0, ["m001", "m001"])
    assert len(ledger.inbox("u1").messages) == 1
    assert ledger.verify({"m001": 1})["ok"]


def test_a_server_that_ends_the_connection_is_asked_again(postgresql_url: str) -> None:
    """Really: another session ends ours between two messages, as a restart does."""
    with open_ledger(schema_of_its_own(postgresql_url), utc_now) as ledger:
        release(ledger, 2)
        claims = ledger.claim("worker-1", 2, 60)
        built = [mail(claim.message.message_id) for claim in claims]
        mark(ledger, claims, built)
        asked: list[str] = []

        def put(*words: str) -> None:
            asked.append(words[0])
            ledger.deliver_to_inbox(*words)

        with channel(put) as opened:
            first = opened.send(built[0])
            engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:"))
            with engine.connect() as other:
                other.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            engine.dispose()
            second = opened.send(built[1])

        assert (first.outcome, second.outcome) == ("sent", "sent")
        assert asked == ["m001", "m002", "m002"]
        assert ledger.inbox("u2").unread == 1


def test_a_database_that_another_process_holds_is_not_sent_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    with open_ledger(new_ledger(path), utc_now) as ledger:
        release(ledger)
        claims = ledger.claim("worker-1", 1, 60)
        mark(ledger, claims, [mail()])
        holder = database.sqlite.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with channel(ledger.deliver_to_inbox) as opened:
            refused = opened.send(mail())
            holder.execute("ROLLBACK")
            accepted = opened.send(mail())
        holder.close()

        assert (refused.outcome, refused.is_channel_down, accepted.outcome) == ("not_sent", True, "sent")
        assert "database is locked" in refused.detail
        assert ledger.inbox("u1").unread == 1


LOST, REFUSED, BUSY = LostConnectionError("gone"), Refusal("no"), InputError("ledger: database is locked")


@pytest.mark.parametrize(
    ("answers", "outcome", "is_down", "times"),
    [
        ([], "sent", False, 1),
        ([REFUSED], "rejected", False, 1),
        ([BUSY], "not_sent", True, 1),
        ([LOST], "sent", False, 2),
        ([LOST, REFUSED], "rejected", False, 2),
        ([LOST, LOST], "unknown", True, 2),
        ([LOST, BUSY], "unknown", True, 2),
    ],
)
def test_each_answer_of_the_database_has_its_outcome(
    answers: list[Exception], outcome: str, is_down: bool, times: int
) -> None:
    """Only where a commit may have gone through without a word is the message in doubt."""
    told = Told(*answers)
    with channel(told) as opened:
        receipt = opened.send(mail())

    assert (receipt.outcome, receipt.is_channel_down) == (outcome, is_down)
    assert told.asked == [("m001", "Welcome", "Hello Ada\n", HTML)] * times


def test_a_detail_has_no_address_and_one_line() -> None:
    with channel(Told(Refusal("no\nroom for Ada@Customer.example " + "x" * 500))) as opened:
        receipt = opened.send(mail())

    assert receipt.detail.startswith("inbox: no room for … xxx")
    assert len(receipt.detail) <= 200


def test_a_message_without_both_parts_is_rejected_and_nobody_is_asked() -> None:
    told = Told()
    bare = Built("m001", b"From: a@b.example\r\nSubject: x\r\n\r\nHello\r\n", "a@b.example", "c@d.example", "<1@b>")
    with channel(told) as opened:
        receipt = opened.send(bare)

    assert (receipt.outcome, told.asked) == ("rejected", [])


def test_a_mail_is_taken_only_when_its_turn_has_come() -> None:
    told, taken = Told(), []

    def mails() -> Iterator[Built]:
        for number in range(3):
            taken.append(number)
            yield mail(f"m{number}")

    with channel(told) as opened:
        for count, (_, receipt) in enumerate(opened.transmit(mails()), 1):
            assert (receipt.outcome, len(taken), len(told.asked)) == ("sent", count, count)

    assert taken == [0, 1, 2]


def test_outside_production_only_those_who_agreed_are_reached() -> None:
    told = Told()
    locked = LockedChannel(channel(told), read_allow_list("@test.example"))
    mails = [mail("m1"), mail("m2", to_address="ada@test.example")]
    with locked as opened:
        receipts = {built.message_id: receipt.outcome for built, receipt in opened.transmit(mails)}

    assert (locked.name, locked.in_flight) == ("in_app", 100)
    assert receipts == {"m1": "rejected", "m2": "sent"}
    assert [asked[0] for asked in told.asked] == ["m2"]


ANYTHING = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80)


@given(subject=ANYTHING, text=ANYTHING, html=ANYTHING)
def test_the_inbox_is_given_what_was_built(subject: str, text: str, html: str) -> None:
    told = Told()
    try:
        built = mail(subject=subject, text=text, html=html)
    except BuildError:
        return
    with channel(told) as opened:
        assert opened.send(built).outcome == "sent"
    ((_, *given_words),) = told.asked
    assert [words.split() for words in given_words] == [words.split() for words in (subject, text, html)]


def test_naughty_strings_land_as_they_are_or_are_never_built(ledger: Ledger, shared_data: Path) -> None:
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))
    release(ledger, 12)
    claims = ledger.claim("worker-1", 12, 60)
    texts = ["\n".join(one for one in strings[start::12] if _is_buildable(one)) for start in range(12)]
    built = [
        mail(claim.message.message_id, text=text, html=f"<p>{text}</p>")
        for claim, text in zip(claims, texts, strict=True)
    ]
    mark(ledger, claims, built)
    with channel(ledger.deliver_to_inbox) as opened:
        assert {receipt.outcome for _, receipt in opened.transmit(built)} == {"sent"}

    for claim, text in zip(claims, texts, strict=True):
        (shown,) = ledger.inbox(claim.message.user_id).messages
        assert (shown.text.rstrip("\n"), shown.html.rstrip("\n")) == (text.rstrip("\n"), f"<p>{text}</p>")
    assert sum(text.count("\n") for text in texts) > 400


def _is_buildable(text: str) -> bool:
    try:
        mail(text=text, html=text)
    except BuildError:
        return False
    return True
