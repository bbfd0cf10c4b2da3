"""Messages in doubt whose transport knows them by their key: what may be repeated, what may not, and that it is one attempt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from dagster_project.ledger import Claim, open_ledger, repeats
from dagster_project.ledger.repeats import FIRST_PAUSE
from dagster_project.ledger.schema import VERSION_TABLE
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.flow import Way, parse_flow
from dagster_project.lifecycle.message import Repeat, Result, Sending, Via

from .conftest import SENDER

if TYPE_CHECKING:
    from .conftest import World

TRANSPORT = "resend:1a2b3c4d"
USABLE = {TRANSPORT: timedelta(hours=16)}


def marked(world: World, count: int = 1, via: Via | None = None) -> list[Claim]:
    """So many messages that are being sent, each under its id as the key."""
    world.released(count)
    claims = world.claim(count)
    sends = [
        Sending(
            claim.message.message_id,
            claim.lease,
            claim.draft.draft_hash,
            world.raw(claim),
            SENDER,
            claim.message.email,
            via or Via(TRANSPORT, claim.message.message_id),
        )
        for claim in claims
    ]
    assert world.ledger.mark_sending(sends, world.as_of) == {}
    return claims


def in_doubt(world: World, count: int = 1, via: Via | None = None) -> list[Claim]:
    """As above, and nobody knows what came of them; their first pause is over."""
    claims = marked(world, count, via)
    for claim in claims:
        world.outcome(claim, "unknown", "reply: timed out")
    world.clock.advance(seconds=FIRST_PAUSE.total_seconds())
    return claims


def begin(world: World, worker: str = "worker-2", **changed: Any) -> list[Repeat]:
    arguments: dict[str, Any] = {"limit": 10, "lease_seconds": 120, "usable": USABLE, "source_pack": "demo"}
    return world.ledger.begin_repeats(worker, **(arguments | {"as_of": world.as_of} | changed))


def tell(world: World, repeat: Repeat, outcome: Any, detail: str = "reply: 200 OK") -> list[str]:
    result = Result(repeat.message_id, repeat.lease, outcome, detail, "r-1" if outcome == "sent" else None)
    return world.ledger.record_repeats([result], world.as_of)


def obstacle(world: World, usable: dict[str, timedelta] | None = None) -> str | None:
    return world.ledger.standing(USABLE if usable is None else usable, "demo", world.as_of)["m0001"].obstacle


def test_what_is_repeated_is_the_same_bytes_to_the_same_person_under_the_same_key(world: World) -> None:
    (claim,) = in_doubt(world)

    (repeat,) = begin(world)

    assert (repeat.raw, repeat.mail_from, repeat.rcpt_to) == (world.raw(claim), SENDER, claim.message.email)
    assert repeat.via == Via(TRANSPORT, "m0001")
    assert repeat.until == world.clock.now + timedelta(seconds=120), "the lease ends before the key does"
    assert repeat.lease > claim.lease


@pytest.mark.parametrize("outcome", ["sent", "rejected"])
def test_the_answer_settles_the_same_attempt_in_events_of_their_own(world: World, outcome: str) -> None:
    in_doubt(world)

    (repeat,) = begin(world)
    result = Result("m0001", repeat.lease, outcome, "reply: 200 OK", "r-1")
    assert world.ledger.record_repeats([result], world.as_of + timedelta(hours=1)) == []

    assert world.state() == (outcome, None)
    kinds = [(event["kind"], event["from_state"], event["to_state"]) for event in world.events()[-2:]]
    assert kinds == [("repeating", "unknown", "unknown"), ("repeated", "unknown", outcome)]
    (message,) = world.ledger.messages()
    assert message.state_as_of == world.as_of, "that of the attempt: the tick that repeats decides the same once more"
    (attempt,) = world.ledger.story("m0001")["attempts"]
    assert (attempt["attempt"], attempt["outcome"], attempt["detail"]) == (1, outcome, "reply: 200 OK")
    assert (attempt["transport"], attempt["idempotency_key"]) == (TRANSPORT, "m0001")
    assert world.failed_checks(accepted={"m0001": 1} if outcome == "sent" else {}) == set()


def test_an_open_answer_leaves_it_in_doubt_until_its_pause_is_over(world: World) -> None:
    """Each pause is as long as the doubt has lasted: 10 s, 20 s, 40 s, …"""
    in_doubt(world)

    (repeat,) = begin(world)
    tell(world, repeat, "unknown", "reply: 502 Bad Gateway")

    assert world.state() == ("unknown", "repeated")
    assert world.ledger.unknown()[0].detail == "reply: 502 Bad Gateway"
    assert begin(world) == []
    world.clock.advance(seconds=9)
    assert begin(world) == []
    assert world.ledger.next_repeat(USABLE, "demo") == world.clock.now + timedelta(seconds=1)
    world.clock.advance(seconds=1)
    (again,) = begin(world)
    tell(world, again, "unknown")
    assert world.ledger.next_repeat(USABLE, "demo") == world.clock.now + timedelta(seconds=20)
    assert world.failed_checks() == set()


def test_nothing_is_repeated_while_the_first_request_may_be_at_work(world: World) -> None:
    (claim,) = marked(world)
    world.outcome(claim, "unknown", "reply: timed out")

    assert begin(world) == []
    assert obstacle(world) is None, "somebody who asks for it may"
    assert len(begin(world, message_ids=["m0001"])) == 1


def _expire_key(world: World) -> None:
    world.clock.advance(hours=16)


def _suppress(world: World) -> None:
    world.ledger.suppress(reason="unsubscribed", actor="web", user_id="u1")


def _pause(world: World) -> None:
    world.ledger.pause("welcome", "ana", "typo")


def _kill(world: World) -> None:
    world.ledger.kill("ana", "wrong audience")


def _expire_release(world: World) -> None:
    world.clock.advance(hours=6)


def _erase(world: World) -> None:
    world.doctor("DELETE FROM recipients WHERE message_id = 'm0001'")


def _take_back_the_release(world: World) -> None:
    world.doctor("UPDATE messages SET release_id = NULL WHERE message_id = 'm0001'")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (_expire_key, "key_expired"),
        (_suppress, "suppressed"),
        (_pause, "paused"),
        (_kill, "killed"),
        (_expire_release, "release_expired"),
        (_erase, "erased"),
        (_take_back_the_release, "not_released"),
    ],
)
def test_what_would_stop_a_send_stops_a_repeat(world: World, change: Callable[[World], None], word: str) -> None:
    """For it may be the first delivery. The message stays in doubt, for an operator; asking for it by name changes nothing."""
    in_doubt(world)
    change(world)

    assert begin(world) == []
    assert begin(world, message_ids=["m0001"]) == []
    assert (world.state()[0], obstacle(world)) == ("unknown", word)


def test_what_is_too_late_for_a_first_delivery_is_not_repeated(world: World) -> None:
    in_doubt(world)
    world.doctor("UPDATE messages SET send_before = '2026-03-02 10:00:00.000000'")

    assert begin(world, as_of=world.as_of + timedelta(hours=1, seconds=1), message_ids=["m0001"]) == []
    assert len(begin(world, as_of=world.as_of + timedelta(hours=1), message_ids=["m0001"])) == 1


@pytest.mark.parametrize(
    ("via", "usable", "word"),
    [
        (Via(TRANSPORT, None), USABLE, "no_key"),
        (Via("resend:ffffffff", "m0001"), USABLE, "other_transport"),
        (Via(TRANSPORT, "m0001"), {}, "other_transport"),
        (Via("smtp:mail.example:25", None), {}, "no_key"),
    ],
)
def test_only_the_transport_of_the_attempt_is_asked(
    world: World, via: Via, usable: dict[str, timedelta], word: str
) -> None:
    in_doubt(world, via=via)

    assert begin(world, usable=usable) == []
    assert begin(world, usable=usable, message_ids=["m0001"]) == []
    assert obstacle(world, usable) == word


def test_the_age_of_a_key_is_counted_from_the_messages_first_attempt(world: World) -> None:
    """Put off once and in doubt the second time: the provider may know the key since the first."""
    (claim,) = marked(world)
    world.outcome(claim, "deferred", "reply: 429")
    world.clock.advance(minutes=30)
    (claim,) = world.claim()
    key = claim.message.message_id
    send = Sending(
        key, claim.lease, claim.draft.draft_hash, world.raw(claim), SENDER, claim.message.email, Via(TRANSPORT, key)
    )
    assert world.ledger.mark_sending([send], world.as_of) == {}
    world.outcome(claim, "unknown", "reply: timed out")
    world.clock.advance(seconds=10)

    quarter = {TRANSPORT: timedelta(minutes=15)}
    assert (begin(world, usable=quarter), obstacle(world, quarter)) == ([], "key_expired")
    assert len(begin(world, usable={TRANSPORT: timedelta(minutes=31)})) == 1
    assert world.failed_checks() == set()


def test_from_a_repeat_on_the_first_worker_has_no_say(world: World) -> None:
    """It was given up and lives: its "not sent" would free the message for another attempt, while the repeat may have sent it."""
    (claim,) = marked(world)
    world.clock.advance(seconds=61)
    world.ledger.extend_claims("worker-2", 60)
    assert world.state() == ("unknown", "worker_lost")
    (repeat,) = begin(world)

    assert world.outcome(claim, "not_sent", "connect: refused") == ["m0001"]
    assert tell(world, repeat, "sent") == []
    assert world.outcome(claim, "not_sent", "connect: refused") == ["m0001"]

    assert world.state() == ("sent", None)
    assert world.failed_checks(accepted={"m0001": 1}) == set()


def test_a_lost_worker_is_settled_by_its_key(world: World) -> None:
    """Killed between mark and reply: the key was committed with the mark."""
    marked(world)
    world.clock.advance(seconds=61)
    world.ledger.extend_claims("worker-2", 60)

    (repeat,) = begin(world)
    tell(world, repeat, "sent")

    assert world.state() == ("sent", None)
    assert world.failed_checks() == set()


def test_a_note_read_before_a_repeat_began_settles_nothing_any_more(world: World) -> None:
    in_doubt(world)
    (read,) = world.ledger.unknown()
    (repeat,) = begin(world)

    leases = {"m0001": read.lease}
    assert world.ledger.settle({"m0001": "not_sent"}, "postrider", "its note", world.as_of, leases) == 0
    tell(world, repeat, "unknown")
    assert world.ledger.settle({"m0001": "not_sent"}, "postrider", "its note", world.as_of, leases) == 0
    assert world.state()[0] == "unknown"


def test_nobodys_word_is_taken_while_the_request_is_on_its_way(world: World) -> None:
    in_doubt(world)
    (repeat,) = begin(world)
    assert obstacle(world) == "being_repeated"

    with pytest.raises(Refusal, match="is being repeated by its key"):
        world.ledger.settle({"m0001": "not_sent"}, "ana", "not in the log", world.as_of)
    tell(world, repeat, "unknown")

    assert world.ledger.settle({"m0001": "not_sent"}, "ana", "not in the log", world.as_of) == 1
    assert world.state() == ("approved", "settled:not_sent")
    assert world.failed_checks() == set()


def test_one_worker_repeats_a_message_at_a_time(world: World) -> None:
    """One that died in a repeat holds it until its lease is over; what it should say after that counts no more."""
    in_doubt(world)
    (first,) = begin(world, worker="worker-2")

    assert begin(world, worker="worker-3") == []
    assert begin(world, worker="worker-3", message_ids=["m0001"]) == []
    world.clock.advance(seconds=120)
    (second,) = begin(world, worker="worker-3")

    assert tell(world, first, "rejected") == ["m0001"]
    assert tell(world, second, "sent") == []
    assert world.state() == ("sent", None)
    assert world.failed_checks(accepted={"m0001": 1}) == set()


def test_asked_again_after_a_silent_commit_nothing_is_written_twice(world: World) -> None:
    in_doubt(world)
    (lost,) = begin(world)
    (repeat,) = begin(world)
    assert repeat.lease > lost.lease

    assert tell(world, repeat, "unknown") == []
    events = len(world.events())
    assert tell(world, repeat, "unknown") == []
    assert len(world.events()) == events

    world.clock.advance(minutes=1)
    (repeat,) = begin(world)
    assert (tell(world, repeat, "sent"), tell(world, repeat, "sent")) == ([], [])
    assert [event["kind"] for event in world.events()].count("repeated") == 2
    assert world.failed_checks(accepted={"m0001": 1}) == set()


def test_what_is_stopped_hides_nobody_behind_it(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More are stopped than are looked at in one go."""
    monkeypatch.setattr(repeats, "LOOK_AT_ONCE", 20)
    world = sqlite_world
    in_doubt(world, 40)
    for number in range(1, 31):
        world.ledger.suppress(reason="unsubscribed", actor="web", user_id=f"u{number}")

    assert [one.message_id for one in begin(world, limit=5)] == [f"m{31 + n:04}" for n in range(5)]
    assert len(begin(world, worker="worker-3", limit=100)) == 5


def test_a_repeat_counts_against_the_limits_of_the_way_out(world: World) -> None:
    in_doubt(world, 5)
    flow = parse_flow({"channels": {"esp": "2/minute"}}, "delivery.yml")
    way = Way(flow, "esp", "ledgerline.example")

    assert len(begin(world, way=way)) == 2
    assert begin(world, worker="worker-3", way=way) == []
    world.clock.advance(minutes=1)
    assert len(begin(world, worker="worker-3", way=way)) == 2


def test_with_a_backup_the_outcome_says_which_transport_it_was(world: World) -> None:
    world.released()
    (claim,) = world.claim()
    assert world.mark(claim) is None
    assert world.ledger.standing(USABLE, "demo", world.as_of) == {}

    result = Result("m0001", claim.lease, "unknown", "reply: timed out", None, Via(TRANSPORT, "m0001"))
    world.ledger.record_outcomes([result], world.as_of)
    world.clock.advance(seconds=10)
    (repeat,) = begin(world)
    tell(world, repeat, "sent")

    assert world.state() == ("sent", None)
    assert world.failed_checks() == set()


def test_with_a_backup_and_a_lost_worker_nobody_knows_which_it_was(world: World) -> None:
    world.sending()
    world.clock.advance(seconds=61)
    world.ledger.extend_claims("worker-2", 60)

    assert (begin(world), obstacle(world)) == ([], "transport_unknown")


def test_attempts_from_before_transports_were_recorded_stay_as_they_are(world: World) -> None:
    world.outcome(world.sending(), "unknown", "reply: timed out")
    for column in ("transport", "idempotency_key"):
        world.doctor(f"ALTER TABLE attempts DROP COLUMN {column}")
    world.doctor("DROP TABLE model_calls")
    world.doctor("DROP INDEX drafts_by_trial")
    for column in ("trial", "caution"):
        world.doctor(f"ALTER TABLE drafts DROP COLUMN {column}")
    world.doctor("ALTER TABLE reviews DROP COLUMN route_reason")
    world.doctor(f"UPDATE {VERSION_TABLE} SET version_num = '0004'")

    with open_ledger(world.url, world.clock) as again:
        assert again.standing(USABLE, "demo", world.as_of)["m0001"].obstacle == "transport_unknown"
        assert again.verify()["ok"]


@pytest.mark.parametrize("column", ["transport", "idempotency_key"])
@pytest.mark.parametrize("when", ["mark", "outcome"])
def test_a_doctored_transport_or_key_is_found(world: World, column: str, when: str) -> None:
    if when == "mark":
        in_doubt(world)
    else:
        claim = world.sending()
        result = Result("m0001", claim.lease, "unknown", "", None, Via(TRANSPORT, "m0001"))
        world.ledger.record_outcomes([result], world.as_of)
    assert world.failed_checks() == set()

    world.doctor(f"UPDATE attempts SET {column} = 'resend:ffffffff'")

    assert world.failed_checks() == {"I8"}


def test_altered_bytes_are_for_nobody(world: World) -> None:
    in_doubt(world)
    with world.engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE attempt_evidence SET raw = :raw"), {"raw": b"To: mallory@evil.example"})

    assert begin(world) == []
    assert world.state()[0] == "unknown"


def test_a_repeat_after_a_suppression_is_found(world: World) -> None:
    """Had it not looked: it may have been the first delivery."""
    in_doubt(world)
    world.ledger.suppress(reason="unsubscribed", actor="web", user_id="u9")
    (repeat,) = begin(world)
    tell(world, repeat, "sent")
    world.doctor("UPDATE suppressions SET user_id = 'u1'")

    assert "I5" in world.failed_checks()


def test_a_repeat_without_a_release_is_found(world: World) -> None:
    in_doubt(world)
    (repeat,) = begin(world)
    tell(world, repeat, "sent")
    with world.ledger._database.write() as write:
        lease = write.next_lease()
        write.append("repeating", actor="x", message_id="m0001", lease=lease, payload={"attempt": 1})

    assert {"I7"} <= world.failed_checks()


@pytest.mark.parametrize("outcome", ["not_sent", "deferred"])
def test_a_repeat_never_frees_a_message_for_another_attempt(world: World, outcome: str) -> None:
    """What became of the repeat's own request says nothing about the first one."""
    in_doubt(world)
    (repeat,) = begin(world)

    with pytest.raises(InputError, match="allowed: sent, rejected, unknown"):
        tell(world, repeat, outcome)


@pytest.mark.parametrize(("limit", "seconds"), [(0, 60), (1, 0)])
def test_an_empty_group_or_a_lease_without_an_end_is_refused(world: World, limit: int, seconds: float) -> None:
    with pytest.raises(InputError, match="allowed: at least 1"):
        begin(world, limit=limit, lease_seconds=seconds)


def test_a_clock_is_compared_with_the_databases(world: World) -> None:
    with world.engine.connect() as connection:
        words = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "timezone('utc', now())"}
        theirs = connection.execute(sa.text(f"SELECT {words[connection.dialect.name]}")).scalar_one()
    world.clock.now = type(world.clock.now).fromisoformat(str(theirs)) + timedelta(hours=2)

    assert timedelta(hours=1, minutes=59) < world.ledger.clock_error() <= timedelta(hours=2)
