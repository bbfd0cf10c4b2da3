"""The in-app inbox: each message once, for its person alone, until it expires."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from dagster_project.ledger import Claim, open_ledger
from dagster_project.ledger.chain import commitment
from dagster_project.ledger.inbox import KEPT, MAX_CONTENT_BYTES, inbox_fields
from dagster_project.ledger.schema import VERSION_TABLE, inbox
from dagster_project.lifecycle.errors import InputError, Refusal

if TYPE_CHECKING:
    from .conftest import World

LINK = "https://app.ledgerline.example/start"
HTML = f'<p>Hello</p><a href="{LINK}">Start</a> <a href="https://mail.ledgerline.example/u/token">Unsubscribe</a>'
WORDS = ("Hello", "Hello\n", HTML)


def sending(world: World, count: int = 1, **changes: Any) -> list[Claim]:
    """So many messages committed to the send, m0001 to u1 and so on."""
    world.released(count, **changes)
    claims = sorted(world.claim(count), key=lambda claim: claim.message.message_id)
    assert [world.mark(claim) for claim in claims] == [None] * count
    return claims


def rows(world: World) -> list[dict[str, Any]]:
    with world.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(inbox).order_by(inbox.c.message_id)).mappings()]


def put_events(world: World) -> list[dict[str, Any]]:
    return [event for event in world.events() if event["kind"] == "inbox"]


def test_a_message_that_is_being_sent_appears_in_its_persons_inbox(world: World) -> None:
    claim = world.sending()

    assert world.ledger.deliver_to_inbox("m0001", *WORDS)
    world.outcome(claim)

    (shown,) = world.ledger.inbox("u1").messages
    assert (shown.message_id, shown.subject, shown.text, shown.html) == ("m0001", *WORDS)
    assert (shown.cta_url, shown.created_at, shown.read_at) == (LINK, world.clock.now, None)
    assert world.ledger.inbox("u1").unread == 1
    assert world.ledger.verify()["ok"]


def test_the_same_again_changes_nothing_and_is_no_error(world: World) -> None:
    world.sending()
    world.ledger.deliver_to_inbox("m0001", *WORDS)
    world.ledger.mark_read("u1", "m0001")
    before = rows(world), world.events()
    world.clock.advance(hours=1)

    assert not world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert (rows(world), world.events()) == before


@pytest.mark.parametrize("place", [0, 1, 2], ids=["subject", "text", "html"])
def test_another_content_under_the_same_id_is_refused(sqlite_world: World, place: int) -> None:
    world, other = sqlite_world, list(WORDS)
    other[place] += "!"
    world.sending()
    world.ledger.deliver_to_inbox("m0001", *WORDS)
    before = rows(world), world.events()

    with pytest.raises(Refusal, match="m0001 is in the inbox with another content"):
        world.ledger.deliver_to_inbox("m0001", *other)
    assert (rows(world), world.events()) == before


def test_two_threads_that_put_the_same_message_put_it_once(world: World) -> None:
    """A worker given up for lost and the one after it, at the same moment."""
    claims = sending(world, 20)
    together = threading.Barrier(2)

    def put_all() -> list[bool]:
        together.wait()
        return [world.ledger.deliver_to_inbox(claim.message.message_id, *WORDS) for claim in claims]

    with ThreadPoolExecutor(2) as pool:
        results = [one.result() for one in [pool.submit(put_all) for _ in range(2)]]

    assert [sorted(pair) for pair in zip(*results, strict=True)] == [[False, True]] * 20
    assert [row["message_id"] for row in rows(world)] == [claim.message.message_id for claim in claims]
    assert len(put_events(world)) == 20
    assert world.ledger.verify()["ok"]


@pytest.mark.slow
def test_putting_beside_claims_outcomes_reads_and_purges_never_locks_up(world: World) -> None:
    """Each takes several locks; taken in different orders, PostgreSQL would end one of them as a deadlock."""
    claims = sending(world, 24)
    together, ended = threading.Barrier(4), threading.Event()

    def put(share: list[Claim]) -> None:
        together.wait()
        for claim in share:
            world.ledger.deliver_to_inbox(claim.message.message_id, *WORDS)
            world.outcome(claim)

    def disturb(*calls: Callable[[], object]) -> None:
        together.wait()
        while not ended.is_set():
            for call in calls:
                call()

    with ThreadPoolExecutor(4) as pool:
        putting = [pool.submit(put, claims[start::2]) for start in (0, 1)]
        disturbing = [
            pool.submit(disturb, lambda: world.claim(5, "w2"), lambda: world.ledger.extend_claims("worker-1", 60)),
            pool.submit(disturb, world.ledger.purge_inbox, lambda: world.ledger.mark_read("u1", "m0001")),
        ]
        try:
            for one in putting:
                one.result(timeout=60)
        finally:
            ended.set()
        for one in disturbing:
            one.result(timeout=60)

    assert len(rows(world)) == 24
    assert {message.state for message in world.ledger.messages()} == {"sent"}
    assert world.ledger.verify()["ok"]


def test_a_message_is_shown_until_its_own_expiry(world: World) -> None:
    send_before = world.clock.now + timedelta(hours=5)
    sending(world, 1, send_before=send_before)
    world.ledger.deliver_to_inbox("m0001", *WORDS)
    (shown,) = world.ledger.inbox("u1").messages

    assert shown.expires_at == send_before
    world.clock.now = send_before - timedelta(microseconds=1)
    assert world.ledger.inbox("u1").unread == 1
    world.clock.now = send_before
    assert (world.ledger.inbox("u1").messages, world.ledger.inbox("u1").unread) == ([], 0)


def test_a_message_without_an_expiry_is_shown_for_thirty_days(sqlite_world: World) -> None:
    sqlite_world.sending()
    sqlite_world.ledger.deliver_to_inbox("m0001", *WORDS)

    assert sqlite_world.ledger.inbox("u1").messages[0].expires_at == sqlite_world.clock.now + KEPT
    assert timedelta(days=30) == KEPT


def test_an_expiry_that_is_given_goes_before_the_messages_own(world: World) -> None:
    sending(world, 1, send_before=world.clock.now + timedelta(hours=5))
    given = world.clock.now + timedelta(minutes=5)
    world.ledger.deliver_to_inbox("m0001", *WORDS, expires_at=given.astimezone())

    assert world.ledger.inbox("u1").messages[0].expires_at == given


def test_what_nobody_would_ever_see_is_refused_and_not_called_sent(world: World) -> None:
    sending(world, 1, send_before=world.clock.now + timedelta(hours=1))
    world.clock.advance(hours=1)

    with pytest.raises(Refusal, match="m0001 expired at"):
        world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert (rows(world), put_events(world)) == ([], [])


def test_what_has_expired_is_not_counted_as_unread(world: World) -> None:
    for claim in sending(world, 2):
        world.doctor("UPDATE messages SET user_id = 'u1'")
        hours = int(claim.message.user_id[1:])
        world.ledger.deliver_to_inbox(
            claim.message.message_id, *WORDS, expires_at=world.clock.now + timedelta(hours=hours)
        )
    world.clock.advance(hours=1)

    found = world.ledger.inbox("u1")
    assert ([one.message_id for one in found.messages], found.unread) == (["m0002"], 1)


def test_the_link_to_unsubscribe_is_not_the_one_to_follow(sqlite_world: World) -> None:
    sqlite_world.sending()
    unsubscribe = '<a href="https://mail.ledgerline.example/u/token">Unsubscribe</a>'
    sqlite_world.ledger.deliver_to_inbox("m0001", "Hello", "Hello", unsubscribe)

    assert sqlite_world.ledger.inbox("u1").messages[0].cta_url is None


def test_purging_takes_what_has_expired_and_leaves_the_proof(world: World) -> None:
    claims = sending(world, 3)
    for hours, claim in enumerate(claims, 1):
        world.ledger.deliver_to_inbox(
            claim.message.message_id, *WORDS, expires_at=world.clock.now + timedelta(hours=hours)
        )
        world.outcome(claim)
    world.clock.advance(hours=2)

    assert (world.ledger.purge_inbox(), world.ledger.purge_inbox()) == (2, 0)
    assert [row["message_id"] for row in rows(world)] == ["m0003"]
    assert [event["message_id"] for event in put_events(world)] == ["m0001", "m0002", "m0003"]
    purges = [json.loads(event["payload"]) for event in world.events() if event["kind"] == "inbox_purged"]
    assert purges == [{"messages": 2}]
    assert world.ledger.taken_by_inbox(["m0001", "m0003", "m0009"]) == {"m0001", "m0003"}
    assert world.ledger.verify()["ok"]


def test_what_was_purged_is_not_put_a_second_time(world: World) -> None:
    world.sending()
    world.ledger.deliver_to_inbox("m0001", *WORDS)
    world.clock.advance(days=31)
    world.ledger.purge_inbox()

    assert not world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert rows(world) == []


def test_nobody_sees_or_marks_the_message_of_another(world: World) -> None:
    for claim in sending(world, 2):
        world.ledger.deliver_to_inbox(claim.message.message_id, f"For {claim.message.user_id}", "text", "html")

    assert [one.subject for one in world.ledger.inbox("u1").messages] == ["For u1"]
    assert [one.subject for one in world.ledger.inbox("u2").messages] == ["For u2"]
    assert world.ledger.inbox("u3").messages == []
    assert not world.ledger.mark_read("u1", "m0002")
    assert (world.ledger.inbox("u1").unread, world.ledger.inbox("u2").unread) == (1, 1)


@pytest.mark.parametrize("user_id", ["u1' or '1'='1", "%", "u_", "U1", "u1 ", "", "🦄"])
def test_a_user_id_is_a_value_and_no_pattern(world: World, user_id: str) -> None:
    world.sending()
    world.ledger.deliver_to_inbox("m0001", *WORDS)

    assert world.ledger.inbox(user_id).messages == []
    assert not world.ledger.mark_read(user_id, "m0001")


def test_the_first_time_of_reading_is_kept(world: World) -> None:
    world.sending()
    world.ledger.deliver_to_inbox("m0001", *WORDS)
    first, events = world.clock.now, world.events()

    assert world.ledger.mark_read("u1", "m0001")
    world.clock.advance(minutes=1)
    assert world.ledger.mark_read("u1", "m0001")

    assert (world.ledger.inbox("u1").messages[0].read_at, world.ledger.inbox("u1").unread) == (first, 0)
    assert world.events() == events  # what somebody reads is no business of a chain that never forgets
    assert world.ledger.verify()["ok"]


def test_what_has_expired_cannot_be_marked(world: World) -> None:
    world.sending()
    world.ledger.deliver_to_inbox("m0001", *WORDS)
    world.clock.advance(days=30)

    assert not world.ledger.mark_read("u1", "m0001")
    assert rows(world)[0]["read_at"] is None


def test_the_newest_messages_come_first_and_all_unread_ones_are_counted(world: World) -> None:
    for claim in sending(world, 5):
        world.doctor("UPDATE messages SET user_id = 'u1'")
        world.clock.advance(seconds=1)
        world.ledger.deliver_to_inbox(claim.message.message_id, *WORDS)
    world.ledger.mark_read("u1", "m0001")
    found = world.ledger.inbox("u1", limit=2)

    assert [one.message_id for one in found.messages] == ["m0005", "m0004"]
    assert found.unread == 4
    with pytest.raises(InputError, match="at least 1"):
        world.ledger.inbox("u1", limit=0)


@pytest.mark.parametrize("state", ["planned", "drafted", "approved", "claimed", "sent", "rejected", "cancelled"])
def test_only_what_is_being_sent_can_be_put(sqlite_world: World, state: str) -> None:
    """A worker that slept through its lease must not show a message that was cancelled meanwhile."""
    world = sqlite_world
    match state:
        case "planned":
            world.plan()
        case "drafted":
            world.drafted()
        case "approved":
            world.released()
        case "claimed":
            world.released()
            world.claim()
        case "cancelled":
            world.plan()
            world.ledger.cancel({"m0001": "no_longer_qualified"}, "run-1", world.as_of)
        case outcome:
            world.outcome(world.sending(), outcome)  # type: ignore

    with pytest.raises(Refusal, match=f"m0001 is {state}"):
        world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert rows(world) == []
    with pytest.raises(Refusal, match="not in the ledger"):
        world.ledger.deliver_to_inbox("m0009", *WORDS)


def test_a_worker_that_was_given_up_may_still_put_and_the_ledger_knows_that_it_did(world: World) -> None:
    claim = world.sending()
    world.clock.advance(minutes=5)
    assert world.ledger.extend_claims("another", 60) == 1
    assert (world.state(), world.ledger.taken_by_inbox(["m0001"])) == (("unknown", "worker_lost"), frozenset())

    assert world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert world.ledger.taken_by_inbox(["m0001"]) == {"m0001"}
    assert world.outcome(claim) == []
    assert world.state() == ("sent", None)
    assert world.ledger.verify()["ok"]


def test_nothing_is_put_for_a_person_who_was_erased(world: World) -> None:
    world.sending()
    world.doctor("DELETE FROM recipients")

    with pytest.raises(Refusal, match="its person was erased"):
        world.ledger.deliver_to_inbox("m0001", *WORDS)
    assert (rows(world), put_events(world)) == ([], [])


def test_the_chain_proves_the_row_and_tells_nothing_of_it(world: World) -> None:
    world.sending()
    world.ledger.deliver_to_inbox("m0001", "A subject of its own", "text of its own", HTML)
    world.ledger.mark_read("u1", "m0001")
    (row,), (event,) = rows(world), put_events(world)

    assert row["seq"] == event["seq"]
    assert json.loads(event["payload"])["commitment"] == commitment(row["salt"], inbox_fields(row))
    assert "of its own" not in str(event)
    altered = inbox_fields(row | {"text": "another"})
    assert json.loads(event["payload"])["commitment"] != commitment(row["salt"], altered)


@pytest.mark.parametrize(
    "doctored",
    [
        "UPDATE inbox SET subject = 'x' WHERE message_id = 'm0001'",
        "UPDATE inbox SET text = 'x' WHERE message_id = 'm0001'",
        "UPDATE inbox SET html = 'x' WHERE message_id = 'm0001'",
        "UPDATE inbox SET cta_url = 'https://evil.example' WHERE message_id = 'm0001'",
        "UPDATE inbox SET user_id = 'u2' WHERE message_id = 'm0001'",
        "UPDATE inbox SET expires_at = '2030-01-01 00:00:00.000000' WHERE message_id = 'm0001'",
        "UPDATE inbox SET created_at = '2026-01-01 00:00:00.000000' WHERE message_id = 'm0001'",
        "UPDATE inbox SET salt = 'x' WHERE message_id = 'm0001'",
        "UPDATE inbox SET seq = (SELECT seq FROM inbox WHERE message_id = 'm0002') WHERE message_id = 'm0001'",
        "UPDATE inbox SET seq = 1 WHERE message_id = 'm0001'",
        "DELETE FROM inbox WHERE message_id = 'm0001'",
    ],
)
def test_an_altered_row_is_found(world: World, doctored: str) -> None:
    """Also one that is gone before it expired: no more may be gone than were purged."""
    for hours, claim in enumerate(sending(world, 3), 1):
        expires_at = world.clock.now + timedelta(hours=24 if hours < 3 else 1)
        world.ledger.deliver_to_inbox(claim.message.message_id, *WORDS, expires_at=expires_at)
        world.outcome(claim)
    world.ledger.mark_read("u1", "m0001")
    world.clock.advance(hours=2)
    assert world.ledger.purge_inbox() == 1
    assert world.failed_checks() == set()

    world.doctor(doctored)

    assert world.failed_checks() == {"I8"}
    (detail,) = [one["detail"] for one in world.ledger.verify()["invariants"] if not one["ok"]]
    assert "inbox" in detail
    assert "not as it was recorded" in detail


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "a\udfffb"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_text_that_no_database_stores_is_refused(world: World, text: str, place: int) -> None:
    words = list(WORDS)
    words[place] = text
    world.sending()

    with pytest.raises(Refusal, match="NUL or a lone surrogate"):
        world.ledger.deliver_to_inbox("m0001", *words)
    assert rows(world) == []


def test_a_text_of_any_length_up_to_the_limit_is_stored_and_no_longer_one(world: World) -> None:
    sending(world, 2)
    html = "ä" * ((MAX_CONTENT_BYTES - 2) // 2)

    assert world.ledger.deliver_to_inbox("m0001", "S", "T", html)
    assert world.ledger.inbox("u1").messages[0].html == html
    with pytest.raises(Refusal, match=f"{MAX_CONTENT_BYTES + 1} bytes; allowed in an inbox: {MAX_CONTENT_BYTES}"):
        world.ledger.deliver_to_inbox("m0002", "S", "T!", html)


def test_naughty_strings_are_read_as_they_were_put(world: World, shared_data: Path) -> None:
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))
    texts = ["\n".join(strings[start : start + 40]) for start in range(0, len(strings), 40)]
    for claim, text in zip(sending(world, len(texts)), texts, strict=True):
        world.ledger.deliver_to_inbox(claim.message.message_id, text, text, f"<p>{text}</p>")
        (shown,) = world.ledger.inbox(claim.message.user_id).messages
        assert (shown.subject, shown.text, shown.html) == (text, text, f"<p>{text}</p>")

    assert len(strings) > 400
    assert len(rows(world)) == len(texts)


def test_a_ledger_from_before_the_inbox_gets_one(world: World) -> None:
    world.sending()
    for later in (
        "DROP TABLE inbox",
        "DROP TABLE model_calls",
        "ALTER TABLE drafts DROP COLUMN caution",
        "ALTER TABLE reviews DROP COLUMN route_reason",
        "DROP INDEX messages_by_user",
        "ALTER TABLE messages DROP COLUMN caps",
    ):
        world.doctor(later)
    for column in ("transport", "idempotency_key"):
        world.doctor(f"ALTER TABLE attempts DROP COLUMN {column}")
    world.doctor(f"UPDATE {VERSION_TABLE} SET version_num = '0002'")
    with open_ledger(world.url, world.clock) as again:
        assert again.deliver_to_inbox("m0001", *WORDS)
        assert again.inbox("u1").unread == 1
        assert again.verify()["ok"]
