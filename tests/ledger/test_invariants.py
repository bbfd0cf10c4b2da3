"""Each invariant finds what it is there to find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dagster_project.ledger.invariants import SENTENCES

if TYPE_CHECKING:
    from .conftest import World


def two_sent(world: World) -> World:
    """Two messages sent, a third approved."""
    world.released(3)
    for claim in world.claim(2):
        world.mark(claim)
        world.outcome(claim, "sent")
    return world


def test_a_sound_ledger_passes_every_check(world: World) -> None:
    report = two_sent(world).ledger.verify(accepted={"m0001": 1, "m0002": 1})

    assert report["ok"]
    assert [one["id"] for one in report["invariants"]] == list(SENTENCES) == [f"I{n}" for n in range(1, 12)]
    assert all(one["checked"] > 0 for one in report["invariants"] if one["id"] not in ("I4", "I11"))
    assert all(one["detail"] == SENTENCES[one["id"]] for one in report["invariants"])


def test_an_empty_ledger_passes_every_check(world: World) -> None:
    assert world.ledger.verify()["ok"]


@pytest.mark.parametrize(
    ("doctored", "found"),
    [
        ("UPDATE messages SET state = 'cancelled', state_reason = 'x' WHERE message_id = 'm0003'", {"I1"}),
        ("UPDATE messages SET state = 'approved', sent_as_of = NULL WHERE message_id = 'm0001'", {"I1", "I3"}),
        ("UPDATE messages SET lease = 99 WHERE message_id = 'm0003'", {"I1"}),
        ("UPDATE messages SET draft_hash = 'x' WHERE message_id = 'm0003'", {"I1"}),
        ("UPDATE messages SET sent_as_of = NULL WHERE message_id = 'm0001'", {"I3"}),
        ("UPDATE messages SET decision_id = 'x' WHERE message_id = 'm0003'", {"I9"}),
        ("UPDATE messages SET user_id = 'x' WHERE message_id = 'm0003'", {"I9"}),
        ("UPDATE attempts SET outcome = 'not_sent' WHERE message_id = 'm0001'", {"I3"}),
        ("UPDATE attempts SET attempt = 2 WHERE message_id = 'm0001'", {"I2", "I8"}),
        ("UPDATE attempts SET raw_hash = 'x' WHERE message_id = 'm0001'", {"I8"}),
        ("UPDATE attempt_evidence SET raw = 'x' WHERE message_id = 'm0001'", {"I8"}),
        ("UPDATE attempt_evidence SET rcpt_to = 'x@evil.example' WHERE message_id = 'm0001'", {"I8"}),
        ("UPDATE attempt_outcomes SET detail = 'x' WHERE message_id = 'm0001'", {"I8"}),
        ("DELETE FROM attempt_evidence WHERE message_id = 'm0001'", {"I8"}),
        ("UPDATE drafts SET html = 'x' WHERE message_id = 'm0001'", {"I8"}),
        ("UPDATE drafts SET subject = 'x' WHERE message_id = 'm0003'", {"I8"}),
        ("UPDATE recipients SET email = 'x@evil.example' WHERE message_id = 'm0003'", {"I8"}),
        ("UPDATE recipients SET address_key = 'x@evil.example' WHERE message_id = 'm0003'", {"I8"}),
        ("UPDATE recipients SET facts = '{}' WHERE message_id = 'm0003'", {"I8"}),
        ("DELETE FROM recipients WHERE message_id = 'm0003'", {"I10"}),
        ("DELETE FROM reviews WHERE message_id = 'm0003'", {"I10"}),
        ("DELETE FROM reviews WHERE message_id = 'm0001'", {"I9"}),
        ("UPDATE reviews SET reviewer = 'x' WHERE message_id = 'm0001'", {"I8"}),
        ("UPDATE gates SET passed = NOT passed WHERE stage = 'content'", {"I7", "I8"}),
        ("UPDATE gates SET results = '[]' WHERE stage = 'content'", {"I8"}),
        ("UPDATE releases SET expires_at = '2030-01-01 00:00:00.000000'", {"I7"}),
        ("UPDATE releases SET audience_hash = 'x'", {"I7"}),
        ("DELETE FROM release_members WHERE message_id = 'm0001'", {"I7"}),
        ("UPDATE release_members SET draft_hash = 'x' WHERE message_id = 'm0001'", {"I7"}),
        ("UPDATE artifacts SET content = BYTES", {"I9"}),
        ("DELETE FROM tick_audience WHERE 1 = 1", set()),
    ],
)
def test_a_doctored_row_is_found(world: World, doctored: str, found: set[str]) -> None:
    two_sent(world)
    if "attempts SET attempt" in doctored:
        world.doctor("DELETE FROM attempt_evidence WHERE message_id = 'm0001'")
        world.doctor("DELETE FROM attempt_outcomes WHERE message_id = 'm0001'")
    world.doctor(doctored.replace("BYTES", "x'78'" if world.url.startswith("sqlite") else "'x'::bytea"))

    assert world.failed_checks() == found


def test_a_message_accepted_twice_is_found(world: World) -> None:
    assert two_sent(world).failed_checks(accepted={"m0001": 2, "m0002": 1}) == {"I2"}


@pytest.mark.parametrize(
    "accepted", [{"m0001": 1}, {"m0001": 1, "m0002": 1, "m0003": 1}, {"m0001": 1, "m0002": 1, "x": 1}]
)
def test_a_sink_that_tells_another_story_is_found(world: World, accepted: dict[str, int]) -> None:
    assert two_sent(world).failed_checks(accepted=accepted) == {"I3"}


def test_an_attempt_after_one_that_may_have_gone_out_is_found(world: World) -> None:
    claim = world.sending()
    world.outcome(claim, "not_sent")
    world.release()
    world.mark(world.claim()[0])
    world.doctor("UPDATE attempts SET outcome = 'unknown' WHERE attempt = 1")

    assert world.failed_checks() == {"I2", "I4"}


def test_an_unknown_without_its_attempt_is_found(world: World) -> None:
    world.outcome(world.sending(), "unknown")
    world.doctor("UPDATE attempts SET lease = 99")

    assert world.failed_checks() == {"I4"}


def test_a_send_after_a_suppression_is_found(world: World) -> None:
    """Had the mark not looked: the suppression's event comes first."""
    world.released()
    (claim,) = world.claim()
    world.ledger.suppress(reason="unsubscribed", actor="web", address="other@customer.example")
    world.mark(claim)
    world.doctor("UPDATE suppressions SET address_key = 'person1@customer.example'")

    assert "I5" in world.failed_checks()


def test_a_write_under_a_stale_lease_is_found(world: World) -> None:
    """An event that chains well and still should never have been written."""
    world.released()
    (old,) = world.claim()
    world.clock.advance(minutes=2)
    world.claim()
    with world.ledger._database.write() as write:
        write.append(
            "unclaimed",
            actor="zombie",
            message_id="m0001",
            from_state="claimed",
            to_state="approved",
            lease=old.lease,
        )

    assert world.failed_checks() == {"I1", "I6"}


def test_a_claim_without_an_end_is_found(world: World) -> None:
    world.released()
    world.claim()
    world.doctor("UPDATE messages SET lease_expires_at = NULL")

    assert world.failed_checks() == {"I10"}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("To: Person1@Customer.example", "To: mallory@evil.example"),
        ("To: Person1@Customer.example", "To: Person1@Customer.example, mallory@evil.example"),
        ("Subject: Hello", "Subject: Goodbye"),
        ("Subject: Hello", "Bcc: mallory@evil.example\nSubject: Hello"),
        ("<p>Hello", "<p>Goodbye"),
        ("\nHello, m0001\n", "\nGoodbye, m0001\n"),
        ("Message-ID", "X-Message-ID"),
    ],
)
def test_bytes_that_say_something_else_than_was_approved_are_found(world: World, header: str, says: str) -> None:
    world.released()
    (claim,) = world.claim()
    raw = world.raw(claim)
    assert header.encode() in raw
    world.mark_as(claim, raw.replace(header.encode(), says.encode()), "a@b.example", claim.message.email)

    assert world.failed_checks() == {"I8"}


def test_a_ledger_that_cannot_be_read_still_gets_an_answer(sqlite_world: World) -> None:
    two_sent(sqlite_world)
    sqlite_world.doctor("DROP TRIGGER events_refuse_update")
    sqlite_world.doctor("UPDATE events SET actor = CAST(x'ff' AS TEXT) WHERE seq = 5")
    report = sqlite_world.ledger.verify()

    assert (report["ok"], report["chain"]["broken_at"]) == (False, 5)
    assert all("cannot be read" in one["detail"] for one in report["invariants"])
