"""Nobody is sent more than the caps allow, whatever has happened since the decision."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import sqlalchemy.event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.ledger import open_ledger
from dagster_project.ledger.caps import SentLately
from dagster_project.ledger.transitions import lock_messages
from dagster_project.lifecycle.caps import read_caps
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Outcome, Sending

from .conftest import SENDER, World, _opened

if TYPE_CHECKING:
    from dagster_project.ledger import Claim

DAILY = "[[1,24]]"
WEEKLY = "[[1,24],[3,168]]"


def released(world: World, *messages: dict[str, Any]) -> list[str]:
    """Messages to one person, each with what is different about it, released: their ids."""
    base = {"user_id": "ann", "email": "ann@customer.example", "caps": DAILY}
    planned = [world.planned(number, **(base | one)) for number, one in enumerate(messages, 1)]
    ids = [one.message_id for one in planned]
    world.ledger.begin_tick(world.run_id, world.as_of, world.pack)
    world.ledger.plan(planned, world.run_id, world.as_of, world.pack)
    world.ledger.record_drafts([world.draft(one) for one in ids], world.run_id, world.as_of)
    world.ledger.route(dict.fromkeys(ids, "approved"), world.run_id, world.as_of)
    world.release()
    return ids


def mark_all(world: World, claims: list[Claim], as_of: datetime | None = None) -> dict[str, str]:
    """All in one batch, as a worker does: message_id → why not."""
    sends = [
        Sending(
            claim.message.message_id, claim.lease, claim.draft.draft_hash, world.raw(claim), SENDER, claim.message.email
        )
        for claim in claims
    ]
    return world.ledger.mark_sending(sends, as_of or world.as_of)


def by_id(world: World, limit: int = 9) -> dict[str, Claim]:
    return {claim.message.message_id: claim for claim in world.claim(limit)}


def retry_at(world: World, message_id: str) -> datetime | None:
    with world.engine.connect() as connection:
        statement = sa.text("SELECT retry_at FROM messages WHERE message_id = :key").columns(retry_at=sa.DateTime)
        return connection.execute(statement, {"key": message_id}).scalar_one()


def test_of_two_messages_to_one_person_in_one_batch_the_first_goes_and_the_second_waits(world: World) -> None:
    released(world, {}, {})

    assert mark_all(world, world.claim(9)) == {"m0002": "frequency_capped"}
    assert world.state("m0001") == ("sending", None)
    assert world.state("m0002") == ("approved", "frequency_capped")
    assert world.failed_checks() == set()


def test_a_capped_message_is_claimed_again_when_its_window_opens_and_then_goes(world: World) -> None:
    """Sent two hours before, by `as_of`; so it is 22 hours of the clock until it is tried again, whatever the clock says."""
    released(world, {}, {})
    claims = by_id(world)
    assert world.mark(claims["m0001"], world.as_of - timedelta(hours=2)) is None
    world.outcome(claims["m0001"])

    assert world.mark(claims["m0002"]) == "frequency_capped"
    assert retry_at(world, "m0002") == world.clock.now + timedelta(hours=22)
    assert world.claim(9) == [], "a worker's loop ends"
    world.clock.advance(hours=22)
    world.doctor("UPDATE releases SET expires_at = '2027-01-01 00:00:00.000000'")
    (again,) = world.claim(9)
    assert world.mark(again, world.as_of + timedelta(hours=22)) is None
    assert world.state("m0002") == ("sending", None)


def test_a_capped_message_whose_time_is_over_when_the_window_opens_is_cancelled_not_sent_late(world: World) -> None:
    released(world, {}, {"send_before": world.as_of + timedelta(hours=3)})
    claims = by_id(world)
    assert mark_all(world, list(claims.values())) == {"m0002": "frequency_capped"}

    world.clock.advance(hours=24)
    world.release()
    (again,) = world.claim(9)

    assert world.mark(again, world.as_of + timedelta(hours=24)) == "expired"
    assert world.state("m0002") == ("cancelled", "expired")


def test_caps_count_the_week_as_well_as_the_day_and_what_is_a_window_old_counts_no_more(world: World) -> None:
    released(world, *[{"caps": WEEKLY}] * 5)
    claims = by_id(world)

    def mark(number: int, **later: float) -> str | None:
        return world.mark(claims[f"m{number:04}"], world.as_of + timedelta(**later))

    assert [mark(1), mark(2, hours=24), mark(3, days=4)] == [None, None, None]
    assert mark(4, days=6, hours=23) == "frequency_capped"
    assert retry_at(world, "m0004") == world.clock.now + timedelta(hours=1)
    assert mark(5, days=7) is None


@pytest.mark.parametrize(
    ("outcome", "stands"),
    [("sent", True), ("unknown", True), (None, True), ("rejected", False), ("deferred", False), ("not_sent", False)],
)
def test_what_left_or_may_have_left_counts_and_what_did_not_leave_does_not(
    world: World, outcome: Outcome | None, stands: bool
) -> None:
    released(world, {}, {})
    claims = by_id(world)
    world.mark(claims["m0001"])
    if outcome:
        world.outcome(claims["m0001"], outcome)

    assert world.mark(claims["m0002"]) == ("frequency_capped" if stands else None)
    assert world.failed_checks() == set()


def test_a_send_that_is_recorded_or_settled_days_later_counts_from_when_it_left(world: World) -> None:
    released(world, {}, {})
    claims = by_id(world)
    world.mark(claims["m0001"], world.as_of - timedelta(hours=20))
    world.outcome(claims["m0001"], "unknown")
    world.ledger.settle({"m0001": "sent"}, "ana", "in the server's log", world.as_of + timedelta(days=3))

    assert world.mark(claims["m0002"], world.as_of + timedelta(hours=4)) is None
    assert world.failed_checks() == set()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"caps": None}, {}),  # an invoice counts for nobody
        ({}, {"caps": None}),  # and is held back by nothing
        ({}, {"caps": "[]"}),
        ({}, {"user_id": "bob"}),
        ({}, {"caps": "[[2,24]]"}),
    ],
)
def test_caps_hold_back_only_marketing_to_the_same_person_over_the_count(
    world: World, first: dict[str, Any], second: dict[str, Any]
) -> None:
    released(world, first, second)

    assert mark_all(world, world.claim(9)) == {}
    assert world.failed_checks() == set()


def test_a_message_without_caps_of_its_own_that_is_marketing_counts_for_others(world: World) -> None:
    released(world, {"caps": "[]"}, {})

    assert mark_all(world, world.claim(9)) == {"m0002": "frequency_capped"}


def test_the_same_id_in_another_pack_is_another_person(world: World) -> None:
    released(world, {}, {})
    world.doctor("UPDATE messages SET source_pack = 'yammer' WHERE message_id = 'm0001'")

    assert mark_all(world, world.claim(9)) == {}


def test_a_message_that_is_stopped_for_another_reason_takes_nobodys_place(world: World) -> None:
    """Its person has unsubscribed from product news; the tips may come all the same, and today."""
    released(world, {"message_type": "product_news"}, {})
    world.ledger.suppress(reason="unsubscribed", actor="web", user_id="ann", message_type="product_news")

    assert mark_all(world, world.claim(9)) == {"m0001": "suppressed"}
    assert world.state("m0002") == ("sending", None)


def test_two_workers_that_mark_messages_to_the_same_people_at_once_send_each_of_them_one(world: World) -> None:
    """Whoever comes second waits for the first one's commit before it looks."""
    released(world, *[{"user_id": f"u{number // 2}"} for number in range(40)])
    claims = by_id(world, 40)
    start, went = threading.Barrier(2), Counter[str]()

    def work(odd: int) -> None:
        with open_ledger(world.url, world.clock) as ledger:
            start.wait()
            for key in list(claims)[odd::2]:
                claim = claims[key]
                send = Sending(key, claim.lease, claim.draft.draft_hash, b"mail", SENDER, claim.message.email)
                if not ledger.mark_sending([send], world.as_of):
                    went[claim.message.user_id] += 1

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (0, 1)))

    assert went == {f"u{number}": 1 for number in range(20)}


def test_the_same_mark_again_does_not_count_itself(world: World) -> None:
    """Its commit was answered by silence."""
    released(world, {}, {})
    claims = list(by_id(world).values())
    assert mark_all(world, claims) == {"m0002": "frequency_capped"}

    assert mark_all(world, claims) == {"m0002": "refused"}
    assert world.state("m0001") == ("sending", None)


def test_a_message_too_early_goes_back_until_its_window_begins(world: World) -> None:
    """Released by a tick whose clock ran ahead of this worker's."""
    released(world, {"send_after": world.as_of})
    (claim,) = world.claim()

    assert world.mark(claim, world.as_of - timedelta(minutes=20)) == "too_early"
    assert world.state() == ("approved", "too_early")
    assert retry_at(world, "m0001") == world.clock.now + timedelta(minutes=20)
    assert world.claim() == []
    world.clock.advance(minutes=20)
    (again,) = world.claim()
    assert world.mark(again) is None


def test_caps_that_cannot_be_read_are_refused_before_anything_is_planned(world: World) -> None:
    world.ledger.begin_tick(world.run_id, world.as_of, world.pack)

    with pytest.raises(InputError, match=r"message m0002: caps: found 'two'; allowed: a JSON list"):
        world.ledger.plan(
            [world.planned(1, caps=DAILY), world.planned(2, caps="two")], world.run_id, world.as_of, world.pack
        )
    assert world.ledger.messages() == []


def test_a_batch_asks_once_and_by_an_index(world: World) -> None:
    """With thousands sent, SQLite's first choice was to read all of them; and nothing is asked for mails without caps."""
    released(world, *[{"user_id": f"u{number % 3}"} for number in range(6)], {"caps": None})
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    with world.ledger._database.write() as write:
        held = lock_messages(write, [f"m{number:04}" for number in range(1, 8)])
        sa.event.listen(world.engine, "before_cursor_execute", note)
        SentLately(write.connection, [one for one in held.values() if one.caps is None], world.as_of)
        assert statements == []
        SentLately(write.connection, held.values(), world.as_of)
        ((statement, parameters),) = statements
        sa.event.remove(world.engine, "before_cursor_execute", note)
        if world.url.startswith("sqlite"):
            plan = write.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            steps = [row.detail for row in plan]
            assert "SEARCH messages USING INDEX messages_by_user (user_id=?)" in steps
            assert not [step for step in steps if step.startswith("SCAN") and "VIRTUAL" not in step]


def test_a_message_over_its_cap_that_went_out_all_the_same_is_found(world: World) -> None:
    """Had the mark not looked: the second one's caps are put back after it."""
    released(world, {}, {})
    world.doctor("UPDATE messages SET caps = NULL WHERE message_id = 'm0002'")
    assert mark_all(world, world.claim(9)) == {}
    world.doctor(f"UPDATE messages SET caps = '{DAILY}' WHERE message_id = 'm0002'")

    assert world.failed_checks() == {"I11"}


def test_caps_that_were_changed_after_the_decision_are_found(world: World) -> None:
    released(world, {})
    world.doctor("UPDATE messages SET caps = '[[99,24]]'")

    assert world.failed_checks() == {"I9"}


# --- any order, any time


PEOPLE = ("ann", "bob")
CAPS = (None, "[]", "[[1,24]]", "[[2,48]]", "[[1,24],[3,168]]", "[[2,100]]")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("plan"), st.sampled_from(PEOPLE), st.sampled_from(CAPS)),
        st.tuples(st.just("work"), st.integers(1, 4), st.integers(-30, 60)),  # how many at once, hours since the last
        st.tuples(st.just("tell"), st.integers(0, 9), st.sampled_from(["sent", "rejected", "unknown", "not_sent"])),
        st.tuples(st.just("settle"), st.integers(0, 9), st.sampled_from(["sent", "rejected", "not_sent"])),
        st.tuples(st.just("wait"), st.integers(1, 48), st.none()),
    ),
    min_size=8,
    max_size=40,
)


@dataclasses.dataclass
class Oracle:
    """What left whom when, counted with nothing but a list."""

    left: list[tuple[str, str, str | None, datetime]] = dataclasses.field(
        default_factory=list
    )  # id, person, caps, when
    took_back: set[str] = dataclasses.field(default_factory=set)

    def may(self, person: str, caps: str | None, when: datetime) -> bool:
        others = [
            moment
            for key, who, its, moment in self.left
            if who == person and its is not None and key not in self.took_back
        ]
        return all(sum(one > when - cap.window for one in others) < cap.count for cap in read_caps(caps))

    def marked(self, key: str, person: str, caps: str | None, when: datetime) -> None:
        self.left = [row for row in self.left if row[0] != key]
        self.took_back.discard(key)
        self.left.append((key, person, caps, when))

    def never_too_many(self) -> None:
        """In no window, wherever it begins, is there a message that its caps should have kept out: the last to be marked."""
        counted = [row for row in self.left if row[2] is not None and row[0] not in self.took_back]
        for position, (_, person, caps, when) in enumerate(counted):
            before = [row[3] for row in counted[:position] if row[1] == person]
            for cap in read_caps(caps):
                for begins in [when - cap.window + timedelta(microseconds=1), *before, when]:
                    inside = [one for one in [*before, when] if begins <= one < begins + cap.window]
                    assert when not in inside or len(inside) <= cap.count


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Any]:
    """Each call opens another ledger."""
    return lambda: _opened(f"sqlite:///{tmp_path / f'{len(list(tmp_path.iterdir()))}.sqlite'}")


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_no_order_of_marks_outcomes_and_times_sends_more_than_the_caps_allow(
    fresh: Callable[[], Any], steps: list[tuple[str, Any, Any]]
) -> None:
    with fresh() as world:
        play(world, steps)


def play(world: World, steps: list[tuple[str, Any, Any]]) -> None:
    oracle, claims, now = Oracle(), {}, world.as_of
    world.ledger.begin_tick(world.run_id, world.as_of, world.pack)
    about: dict[str, tuple[str, str | None]] = {}
    for what, first, second in steps:
        match what:
            case "plan":
                number = len(about) + 1
                one = world.planned(number, user_id=first, email=f"{first}@customer.example", caps=second)
                about[one.message_id] = (first, second)
                world.ledger.plan([one], world.run_id, world.as_of, world.pack)
                world.ledger.record_drafts([world.draft(one.message_id)], world.run_id, world.as_of)
                world.ledger.route({one.message_id: "approved"}, world.run_id, world.as_of)
            case "work":
                now += timedelta(hours=second)
                world.release()
                batch = world.claim(first)
                claims |= {claim.message.message_id: claim for claim in batch}
                reasons = mark_all(world, batch, now) if batch else {}
                for key in sorted(claim.message.message_id for claim in batch):
                    person, caps = about[key]
                    assert (key not in reasons) == (caps is None or oracle.may(person, caps, now)), (key, reasons)
                    assert reasons.get(key, "frequency_capped") == "frequency_capped"
                    if key not in reasons:
                        oracle.marked(key, person, caps, now)
            case "tell" | "settle":
                state = "sending" if what == "tell" else "unknown"
                those = [one.message_id for one in world.ledger.messages(states=[state])]
                if not those:
                    continue
                key = those[first % len(those)]
                if what == "tell":
                    assert world.outcome(claims[key], second) == []
                else:
                    world.ledger.settle({key: second}, "ana", "asked", now + timedelta(days=first))
                if second in ("rejected", "not_sent"):
                    oracle.took_back.add(key)
            case _:
                world.clock.advance(hours=first)
        oracle.never_too_many()
    assert world.ledger.verify()["ok"]
