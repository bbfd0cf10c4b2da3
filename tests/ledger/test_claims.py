"""Claims, the mark that fences a send, outcomes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dagster_project.ledger import claims
from dagster_project.ledger.claims import Waiting
from dagster_project.lifecycle.errors import InputError

if TYPE_CHECKING:
    from dagster_project.lifecycle.message import Outcome

    from .conftest import World

CLAIMER = """
import json, sys
from datetime import datetime
from dagster_project.ledger import open_ledger

url, worker = sys.argv[1:]
with open_ledger(url, lambda: datetime(2026, 3, 2, 9, 0, 9)) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    mine = []
    while claims := ledger.claim(worker, 7, 60):
        mine += [claim.message.message_id for claim in claims]
print(json.dumps(mine))
"""


@pytest.mark.slow
def test_two_processes_never_claim_the_same_message(world: World) -> None:
    """Both together claim each message once."""
    ids = world.released(120)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, world.url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("worker-1", "worker-2")
    ]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    claimed = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]

    assert sorted(claimed[0] + claimed[1]) == ids
    assert all(worker.returncode == 0 for worker in workers)
    assert world.ledger.verify()["ok"]


def test_nothing_is_claimed_without_a_release(world: World) -> None:
    world.routed("approved")

    assert world.claim() == []


def test_nothing_is_claimed_after_the_release_expired(world: World) -> None:
    world.released()
    world.clock.advance(hours=6)

    assert world.claim() == []


def test_what_was_approved_after_the_release_waits_for_the_next_one(world: World) -> None:
    world.released()
    world.ledger.plan([world.planned(2)], world.run_id, world.as_of, world.pack)
    world.ledger.record_drafts([world.draft("m0002")], world.run_id, world.as_of)
    world.ledger.route({"m0002": "approved"}, world.run_id, world.as_of)

    assert [claim.message.message_id for claim in world.claim(9)] == ["m0001"]


def test_a_message_is_not_claimed_before_its_time(world: World) -> None:
    world.released(send_after=world.as_of + timedelta(minutes=1))

    assert world.claim() == []


def test_a_claim_carries_message_draft_and_a_growing_lease(world: World) -> None:
    world.released(3)

    claims = world.claim(2) + world.claim(2)

    assert [claim.lease for claim in claims] == [1, 2, 3]
    assert all(claim.message.lease == claim.lease and claim.message.state == "claimed" for claim in claims)
    assert [claim.draft for claim in claims] == [world.draft(claim.message.message_id) for claim in claims]


def test_a_claim_can_be_limited_to_one_pack(world: World) -> None:
    world.released()

    assert world.ledger.claim("worker-1", 9, 60, source_pack="yammer") == []
    assert len(world.ledger.claim("worker-1", 9, 60, source_pack="demo")) == 1


def test_an_expired_claim_is_taken_over_and_the_old_worker_is_fenced_off(world: World) -> None:
    world.released()
    (old,) = world.claim(worker="slow")
    assert world.claim(worker="quick") == []
    world.clock.advance(seconds=60)
    (new,) = world.claim(worker="quick")

    assert world.mark(old) == "refused"
    assert world.mark(new) is None
    assert new.lease > old.lease
    assert world.ledger.verify()["ok"]


def test_what_passed_to_another_worker_before_it_was_read_is_not_handed_out(world: World) -> None:
    world.released(2)
    with world.ledger._database.write() as write:
        leases = claims.claim(write, "slow", 9, 60, None)
    world.clock.advance(seconds=60)
    (new,) = world.claim(1, "quick")

    with world.ledger._database.read() as connection:
        (left,) = claims.read_claims(connection, leases)
        assert claims.read_claims(connection, {new.message.message_id: new.lease}) == [new]
    assert left.message.message_id in leases.keys() - {new.message.message_id}


def test_what_is_being_sent_is_never_claimed_again(world: World) -> None:
    world.sending()
    world.clock.advance(days=1)
    world.release()

    assert world.claim(9) == []


def test_a_worker_can_give_its_claims_back(world: World) -> None:
    world.released(3)
    world.claim(2, "worker-1")
    world.claim(1, "worker-2")

    assert world.ledger.release_claims("worker-1") == 2
    assert [message.state for message in world.ledger.messages()] == ["approved", "approved", "claimed"]


@pytest.mark.parametrize("limit, seconds", [(0, 60), (1, 0)])
def test_a_senseless_claim_is_an_input_error(world: World, limit: int, seconds: int) -> None:
    with pytest.raises(InputError, match="allowed"):
        world.ledger.claim("worker-1", limit, seconds)


@pytest.mark.parametrize(
    "what",
    [
        {"user_id": "u1"},
        {"address": " PERSON1@customer.EXAMPLE "},
        {"user_id": "u1", "message_type": "product_tips", "channel": "email"},
        {"user_id": "someone-else", "address": "person1@customer.example"},
    ],
)
def test_a_suppression_between_claim_and_mark_stops_the_send(world: World, what: dict[str, str]) -> None:
    world.released()
    (claim,) = world.claim()
    world.ledger.suppress(reason="unsubscribed", actor="web", **what)

    assert world.mark(claim) == "suppressed"
    assert world.state() == ("cancelled", "suppressed")
    assert world.ledger.story("m0001")["attempts"] == []


@pytest.mark.parametrize(
    "what",
    [{"user_id": "u2"}, {"user_id": "u1", "message_type": "billing"}, {"user_id": "u1", "channel": "sms"}],
)
def test_a_suppression_of_something_else_does_not_stop_the_send(world: World, what: dict[str, str]) -> None:
    world.released()
    world.ledger.suppress(reason="unsubscribed", actor="web", **what)
    (claim,) = world.claim()

    assert world.mark(claim) is None
    assert world.ledger.verify()["ok"]


def test_a_message_past_its_time_is_cancelled_not_sent_late(world: World) -> None:
    world.released(send_before=world.as_of)
    (claim,) = world.claim()

    assert world.mark(claim, world.as_of + timedelta(seconds=1)) == "expired"
    assert world.state() == ("cancelled", "expired")


def test_a_message_goes_out_up_to_the_last_moment_of_its_time(world: World) -> None:
    world.released(send_before=world.as_of)
    (claim,) = world.claim()

    assert world.mark(claim) is None


def test_a_release_that_expires_between_claim_and_mark_stops_the_send(world: World) -> None:
    world.released()
    world.clock.advance(hours=5, minutes=59, seconds=30)
    (claim,) = world.claim()
    world.clock.advance(seconds=30)

    assert world.mark(claim) == "release_expired"
    assert world.state() == ("approved", "release_expired")


def test_a_draft_other_than_the_released_one_is_not_sent(world: World) -> None:
    """Even if something else than this ledger changed it."""
    world.released()
    (claim,) = world.claim()
    world.doctor("UPDATE release_members SET draft_hash = 'another'")

    assert world.mark(claim) == "draft_changed"
    assert world.state() == ("approved", "draft_changed")


def test_an_envelope_to_somebody_else_is_refused(world: World) -> None:
    world.released()
    (claim,) = world.claim()

    assert world.mark_as(claim, world.raw(claim), "a@b.example", "mallory@evil.example") == "refused"
    assert world.state()[0] == "claimed"


@pytest.mark.parametrize(
    "outcome, state",
    [
        ("sent", "sent"),
        ("rejected", "rejected"),
        ("deferred", "deferred"),
        ("unknown", "unknown"),
        ("not_sent", "approved"),
    ],
)
def test_an_outcome_leads_to_its_state(world: World, outcome: str, state: str) -> None:
    claim = world.sending()

    world.outcome(claim, outcome, "told")

    assert world.state()[0] == state
    (message,) = world.ledger.messages()
    assert message.sent_as_of == (world.as_of if outcome == "sent" else None)
    assert message.attempts == 1
    assert world.ledger.verify()["ok"]


def test_an_outcome_is_recorded_once(world: World) -> None:
    """Another one is nobody's to tell; the same again, after a commit that was answered by silence, changes nothing."""
    claim = world.sending()
    world.outcome(claim)
    events = world.events()

    assert world.outcome(claim) == []
    assert world.outcome(claim, "not_sent") == ["m0001"]
    assert world.events() == events
    assert world.state() == ("sent", None)


def test_an_outcome_needs_the_mark_before_it(world: World) -> None:
    world.released()
    (claim,) = world.claim()

    assert world.outcome(claim) == ["m0001"]
    assert world.state() == ("claimed", None)


def test_the_same_mark_again_lets_the_send_go_on(world: World) -> None:
    """Its commit was answered by silence: the worker asks again, with the same bytes, under the same lease."""
    claim = world.sending()
    events = world.events()

    assert world.mark(claim) is None
    assert world.mark_as(claim, b"other bytes", "a@ledgerline.example", claim.message.email) == "refused"
    assert world.events() == events


def test_an_unknown_outcome_word_is_an_input_error(world: World) -> None:
    claim = world.sending()

    with pytest.raises(InputError, match="allowed: sent"):
        world.outcome(claim, "perhaps")


@pytest.mark.parametrize("outcome", ["deferred", "not_sent"])
def test_a_failed_attempt_is_tried_again_after_a_while_or_under_a_new_release(world: World, outcome: str) -> None:
    """So that a worker's loop over its claims ends while the server is down."""
    claim = world.sending()
    world.outcome(claim, outcome)

    world.clock.advance(seconds=59)
    assert world.claim() == []
    world.clock.advance(seconds=31)
    (second,) = world.claim()
    assert world.mark(second) is None
    world.outcome(second, outcome)
    assert world.claim() == []
    world.release()
    (third,) = world.claim()
    assert world.mark(third) is None
    world.outcome(third, "sent")

    assert world.state()[0] == "sent"
    assert [one["outcome"] for one in world.ledger.story("m0001")["attempts"]] == [outcome, outcome, "sent"]
    assert world.ledger.verify(accepted={"m0001": 1})["ok"]


def test_the_sent_bytes_and_envelope_are_kept(world: World) -> None:
    claim = world.sending()

    (attempt,) = world.ledger.story("m0001")["attempts"]

    assert (attempt["mail_from"], attempt["rcpt_to"]) == ("hello@ledgerline.example", "Person1@Customer.example")
    assert attempt["bytes"] == len(world.raw(claim))


def test_the_first_to_expire_goes_first(world: World) -> None:
    world.ledger.begin_tick(world.run_id, world.as_of, world.pack)
    hours = {1: 30, 2: 3, 3: 12}
    planned = [world.planned(n, send_before=world.as_of + timedelta(hours=h)) for n, h in hours.items()]
    world.ledger.plan(planned, world.run_id, world.as_of, world.pack)
    world.ledger.record_drafts([world.draft(one.message_id) for one in planned], world.run_id, world.as_of)
    world.ledger.route({one.message_id: "approved" for one in planned}, world.run_id, world.as_of)
    world.release()

    assert [claim.message.message_id for claim in world.claim(2)] == ["m0002", "m0003"]
    assert [claim.message.message_id for claim in world.claim(2)] == ["m0001"]


def test_a_send_whose_worker_is_lost_becomes_unknown(world: World) -> None:
    """Nobody knows whether the mail went out, so it isn't sent again; a worker that shows itself keeps its sends."""
    world.sending()

    world.clock.advance(seconds=59)
    assert world.ledger.extend_claims("worker-1", 60) == 0
    world.clock.advance(seconds=59)
    assert world.ledger.extend_claims("another", 60) == 0
    world.clock.advance(seconds=1)
    assert world.ledger.extend_claims("another", 60) == 1

    assert world.state() == ("unknown", "worker_lost")
    assert world.claim(9) == []
    assert world.failed_checks() == set()


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("sent", "sent"), ("rejected", "rejected"), ("deferred", "deferred"), ("not_sent", "approved")],
)
def test_a_worker_given_up_for_lost_tells_the_truth_late(world: World, outcome: Outcome, state: str) -> None:
    claim = world.sending()
    world.clock.advance(seconds=60)
    world.ledger.extend_claims("another", 60)

    assert world.outcome(claim, outcome) == []
    assert world.state()[0] == state
    assert world.failed_checks() == set()


def test_an_outcome_after_somebody_settled_the_message_is_left_out(world: World) -> None:
    claim = world.sending()
    world.outcome(claim, "unknown")
    world.ledger.settle({"m0001": "sent"}, "ana", "found in the server's log", world.as_of)

    assert world.outcome(claim, "not_sent") == ["m0001"]
    assert world.state() == ("sent", "settled:sent")


def test_what_waits_says_until_when(world: World) -> None:
    claim = world.sending()
    assert world.ledger.waiting("demo") == Waiting(0, None)
    world.outcome(claim, "deferred")

    waiting = world.ledger.waiting("demo")
    assert waiting.messages == 1
    assert waiting.due_at is not None
    assert timedelta(seconds=60) <= waiting.due_at - world.clock.now <= timedelta(seconds=90)
    assert world.ledger.waiting("yammer").messages == 0


def test_what_a_claim_reads_does_not_grow_with_what_is_claimed(world: World) -> None:
    """Each of the messages by its id. SQLite, left to itself, went through every message that anybody had claimed: a claim of 200
    took 56 ms at first, and 425 when 700,000 were claimed."""
    if world.engine.dialect.name != "sqlite":
        assert "state" not in str(claims._claimed("postgresql")).split("WHERE")[1]
        return
    statement = str(claims._claimed("sqlite").compile(dialect=world.engine.dialect))
    with world.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("[]",)).fetchall()
    plan = [row[-1] for row in rows]

    assert [step for step in plan if step.startswith("SEARCH messages")] == [
        "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (message_id=?)"
    ]
    assert not [step for step in plan if step.startswith(("SCAN messages", "SCAN drafts", "SCAN recipients"))]
