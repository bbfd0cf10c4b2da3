"""The loop between ledger and channel: each message at most once, each one accounted for, whatever goes wrong."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from dagster_project.adapters.channels import Receipt
from dagster_project.adapters.channels.base import SingleTransport
from dagster_project.adapters.channels.lock import LockedChannel, read_allow_list
from dagster_project.adapters.channels.outbox import OutboxChannel
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.delivering import Counts, deliver
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.ledger import Ledger, open_ledger
from dagster_project.lifecycle.errors import InputError, LostConnectionError
from dagster_project.lifecycle.flow import Way, parse_flow
from dagster_project.lifecycle.message import Draft, Outcome, PlannedMessage, Via
from dagster_project.lifecycle.mime import Built
from tests.ledgers import new_ledger

AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")
RUN = "run-1"


class Told(SingleTransport):
    """A channel that answers as told: a receipt, or an exception to raise. It keeps what it was given."""

    name = "told"

    def __init__(self, answer: Callable[[Built], Receipt] | None = None, in_flight: int = 1) -> None:
        self.in_flight = in_flight
        self.answer = answer or (lambda _: Receipt("sent", "250 ok", "queue-1"))
        self.given: list[Built] = []

    def via(self, message_id: str) -> Via:
        return Via("told", None)

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        for built in mails:
            self.given.append(built)
            yield built, self.answer(built)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @property
    def accepted(self) -> dict[str, int]:
        ids = [built.message_id for built in self.given]
        return {message_id: ids.count(message_id) for message_id in ids}


@pytest.fixture(autouse=True)
def _signals_as_in_a_terminal() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(new_ledger(tmp_path / "ledger.sqlite"), utc_now) as opened:
        yield opened


def planned(number: int, **changed: Any) -> PlannedMessage:
    values: dict[str, Any] = {
        "message_id": f"m{number:03}",
        "campaign_id": "welcome",
        "user_id": f"u{number}",
        "account_id": None,
        "occurrence_key": "signup",
        "decision_id": f"d{number}",
        "policy_hash": "0" * 64,
        "message_type": "product_tips",
        "channel": "email",
        "variant": "default",
        "locale": "en",
        "email": f"user{number}@customer.example",
        "facts": {"first_name": "Ada"},
        "send_after": None,
        "send_before": None,
    }
    return PlannedMessage(**(values | changed))


def draft_of(message: PlannedMessage) -> Draft:
    return Draft(
        message_id=message.message_id,
        mode="template",
        mode_asked="template",
        fallback_reason=None,
        locale="en",
        subject="Welcome",
        preheader="",
        html="<p>Hello Ada</p>\n",
        text="Hello Ada\n",
        unsubscribe_url="https://mail.ledgerline.example/u/abc",
        recipe={"template": "0" * 64},
    )


def released(ledger: Ledger, *messages: PlannedMessage) -> None:
    """Messages on their way from plan to release, as one tick would bring them there."""
    ledger.begin_tick(RUN, AS_OF, "demo")
    ledger.plan(messages, RUN, AS_OF, "demo")
    ledger.record_drafts([draft_of(message) for message in messages], RUN, AS_OF)
    ledger.route({message.message_id: "approved" for message in messages}, RUN, AS_OF)
    ledger.record_gate(RUN, AS_OF, "decide", True, [])
    ledger.release(RUN, AS_OF, "demo", ["decide"], timedelta(hours=6), "policy")


def run(ledger: Ledger, channel: Any, **changed: Any) -> Counts:
    letterhead = Letterhead(changed.pop("sender", "Ledgerline <hello@ledgerline.example>"), "ledgerline.example", AS_OF)
    arguments: dict[str, Any] = {"worker": RUN, "clock": utc_now}
    return deliver(ledger, channel, letterhead, **(arguments | changed))


def states(ledger: Ledger) -> dict[str, tuple[str, str | None]]:
    return {message.message_id: (message.state, message.state_reason) for message in ledger.messages()}


def assert_verified(ledger: Ledger, channel: Told | None = None) -> None:
    result = ledger.verify(channel.accepted if channel else None)

    assert [one for one in result["invariants"] if not one["ok"]] == []
    assert result["ok"]


def test_what_is_released_is_sent_once_and_recorded(ledger: Ledger) -> None:
    released(ledger, *map(planned, range(5)))
    channel = Told()

    first, second = run(ledger, channel), run(ledger, channel)

    assert (first.outcomes, first.ended_by) == ({"sent": 5}, "nothing_due")
    assert second.outcomes == {}
    assert {built.rcpt_to for built in channel.given} == {f"user{number}@customer.example" for number in range(5)}
    assert set(states(ledger).values()) == {("sent", None)}
    assert_verified(ledger, channel)


def test_the_mail_is_committed_before_the_channel_sees_it(ledger: Ledger) -> None:
    """Killed at any moment of the send, the message is found in `sending`, and is not sent again."""
    released(ledger, planned(1))
    seen: list[str] = []

    def look(_: Built) -> Receipt:
        seen.append(ledger.messages()[0].state)
        return Receipt("sent", "")

    run(ledger, Told(look))

    assert seen == ["sending"]


def test_every_outcome_is_counted_and_kept(ledger: Ledger) -> None:
    outcomes: list[Outcome] = ["sent", "rejected", "deferred", "unknown", "not_sent"]
    released(ledger, *map(planned, range(5)))
    channel = Told(lambda built: Receipt(outcomes[int(built.message_id[1:])], "dot: said so"))

    counts = run(ledger, channel)

    assert counts.outcomes == dict.fromkeys(outcomes, 1)
    assert [state for state, _ in states(ledger).values()] == ["sent", "rejected", "deferred", "unknown", "approved"]
    assert len(channel.given) == 5, "what was put off is not tried again in the same run"
    assert counts.as_dict()["unknown"] == 1
    assert_verified(ledger)


def test_what_cannot_be_built_is_cancelled_with_its_word(ledger: Ledger) -> None:
    """And holds up nobody else."""
    released(ledger, planned(1, email="jürgen@customer.example"), planned(2))
    channel = Told()

    counts = run(ledger, channel)

    assert counts.unbuildable == {"address_unusable": 1}
    assert states(ledger) == {"m001": ("cancelled", "unbuildable:address_unusable"), "m002": ("sent", None)}
    assert [built.message_id for built in channel.given] == ["m002"]
    assert_verified(ledger, channel)


def test_a_suppression_between_claim_and_send_stops_that_message(ledger: Ledger) -> None:
    released(ledger, planned(1), planned(2))

    def suppress_the_next(built: Built) -> Receipt:
        ledger.suppress(reason="unsubscribed", actor="user", user_id="u2")
        return Receipt("sent", "")

    channel = Told(suppress_the_next)
    counts = run(ledger, channel)

    assert (counts.outcomes, counts.stopped) == ({"sent": 1}, {"suppressed": 1})
    assert states(ledger)["m002"] == ("cancelled", "suppressed")
    assert_verified(ledger, channel)


def test_the_kill_switch_stops_the_next_message(ledger: Ledger) -> None:
    """At most one more mail, and the claims are given back."""
    released(ledger, *map(planned, range(10)))

    def kill(_: Built) -> Receipt:
        ledger.kill("operator", "wrong audience")
        return Receipt("sent", "")

    channel = Told(kill)
    counts = run(ledger, channel)

    assert (counts.outcomes, counts.stopped, counts.ended_by) == ({"sent": 1}, {"killed": 1}, "killed")
    assert [state for state, _ in states(ledger).values()] == ["sent"] + ["approved"] * 9
    assert_verified(ledger, channel)


def test_a_pause_stops_one_campaign_and_not_the_other(ledger: Ledger) -> None:
    released(ledger, planned(1), planned(2), planned(3, campaign_id="winback"))

    def pause(_: Built) -> Receipt:
        ledger.pause("welcome", "operator", "typo")
        return Receipt("sent", "")

    counts = run(ledger, Told(pause))

    assert (counts.outcomes, counts.stopped, counts.ended_by) == ({"sent": 2}, {"paused": 1}, "nothing_due")
    assert [state for state, _ in states(ledger).values()] == ["sent", "approved", "sent"]


def test_a_channel_that_is_down_is_left_alone(ledger: Ledger) -> None:
    """Three failures in a row, not one per message: a hundred thousand waits of 30 s help nobody."""
    released(ledger, *map(planned, range(10)))
    channel = Told(lambda _: Receipt("not_sent", "connect: refused", is_channel_down=True))

    counts = run(ledger, channel)

    assert (counts.outcomes, counts.ended_by) == ({"not_sent": 3}, "channel_down")
    assert {state for state, _ in states(ledger).values()} == {"approved"}
    assert_verified(ledger)


def test_two_workers_share_the_work(ledger: Ledger) -> None:
    """A claim is one worker's alone: both together send each message once."""
    released(ledger, *map(planned, range(20)))
    channel = Told()

    def other_works_too(built: Built) -> Receipt:
        if len(channel.given) == 1:
            run(ledger, channel, worker="other")
        return Receipt("sent", "")

    channel.answer = other_works_too
    run(ledger, channel)

    assert channel.accepted == {f"m{number:03}": 1 for number in range(20)}
    assert_verified(ledger, channel)


def test_a_lost_lease_sends_nothing(ledger: Ledger) -> None:
    """A worker that slept past its lease finds its claim taken: it passes on, and the other one's send stands."""
    released(ledger, planned(1), planned(2))

    def lose_the_second(_: Built) -> Receipt:
        ledger.release_claims(RUN)
        return Receipt("sent", "")

    channel = Told(lose_the_second)
    counts = run(ledger, channel)

    assert (counts.outcomes, counts.stopped) == ({"sent": 1}, {"refused": 1})
    assert channel.accepted == {"m001": 1}
    assert states(ledger)["m002"] == ("approved", None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_mail_in_flight_end_and_gives_the_rest_back(ledger: Ledger, number: signal.Signals) -> None:
    released(ledger, *map(planned, range(5)))
    asked: list[int] = []
    before = signal.signal(number, lambda received, _: asked.append(received))

    def signalled(_: Built) -> Receipt:
        os.kill(os.getpid(), number)
        return Receipt("sent", "250 ok")

    try:
        counts = run(ledger, Told(signalled))
        restored = signal.getsignal(number)
    finally:
        signal.signal(number, before)

    assert (counts.outcomes, counts.ended_by) == ({"sent": 1}, number.name)
    assert asked == [number], "it is raised again for whoever handles it"
    assert callable(restored)
    assert [state for state, _ in states(ledger).values()] == ["sent"] + ["approved"] * 4
    assert_verified(ledger)


def test_a_group_is_committed_at_once_and_what_was_not_begun_goes_back_to_whoever_comes_next(ledger: Ledger) -> None:
    """A channel that lets three be in doubt: a signal during the first sends neither the second nor the third."""
    released(ledger, *map(planned, range(5)))

    def interrupted(built: Built) -> Receipt:
        assert [state for state, _ in states(ledger).values()][:3] == ["sending"] * 3
        os.kill(os.getpid(), signal.SIGINT)
        return Receipt("sent", "")

    channel = Told(interrupted, in_flight=3)
    with pytest.raises(KeyboardInterrupt):
        run(ledger, channel)

    assert channel.accepted == {"m000": 1}
    assert [state for state, _ in states(ledger).values()] == ["sent"] + ["approved"] * 4
    assert run(ledger, Told(), worker="next").outcomes == {"sent": 4}, "nothing was wrong with them: nobody waits"
    assert_verified(ledger)


def test_a_group_whose_channel_went_down_waits_a_minute(ledger: Ledger) -> None:
    """Or each worker that comes by would try three more of them, and the next, and the next."""
    released(ledger, *map(planned, range(8)))
    channel = Told(lambda _: Receipt("not_sent", "connect: refused", is_channel_down=True), in_flight=8)

    assert run(ledger, channel).outcomes == {"not_sent": 8}
    assert run(ledger, Told(), worker="next").outcomes == {}


def test_a_group_keeps_out_whoever_was_suppressed_meanwhile(ledger: Ledger) -> None:
    released(ledger, *map(planned, range(4)))
    ledger.suppress(reason="complaint", actor="web", user_id=ledger.messages()[1].user_id)

    channel = Told(in_flight=4)
    counts = run(ledger, channel)

    assert (counts.outcomes, counts.stopped) == ({"sent": 3}, {"suppressed": 1})
    assert "m001" not in channel.accepted
    assert_verified(ledger, channel)


def test_ctrl_c_ends_the_command(ledger: Ledger) -> None:
    released(ledger, *map(planned, range(3)))

    def interrupted(_: Built) -> Receipt:
        os.kill(os.getpid(), signal.SIGINT)
        return Receipt("sent", "")

    with pytest.raises(KeyboardInterrupt):
        run(ledger, Told(interrupted))

    assert [state for state, _ in states(ledger).values()] == ["sent", "approved", "approved"]


def test_a_second_signal_ends_at_once_and_leaves_the_truth(ledger: Ledger) -> None:
    """The message in flight may or may not have gone out: it stays in `sending`, the others are free."""
    released(ledger, *map(planned, range(3)))

    def impatient(_: Built) -> Receipt:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return Receipt("sent", "")

    with pytest.raises(KeyboardInterrupt):
        run(ledger, Told(impatient))

    assert [state for state, _ in states(ledger).values()] == ["sending", "approved", "approved"]
    assert run(ledger, Told()).outcomes == {"sent": 2}
    assert_verified(ledger)


def test_it_works_outside_the_main_thread(ledger: Ledger) -> None:
    """Signals belong to the main thread; a worker in another one must not fail for it."""
    released(ledger, planned(1))
    counts: list[Counts] = []
    thread = threading.Thread(target=lambda: counts.append(run(ledger, Told())))
    thread.start()
    thread.join()

    assert counts[0].outcomes == {"sent": 1}


def test_the_lock_holds_on_this_way_too(ledger: Ledger) -> None:
    released(ledger, planned(1), planned(2))
    transport = Told()

    counts = run(ledger, LockedChannel(transport, read_allow_list("user2@customer.example")))

    assert counts.outcomes == {"rejected": 1, "sent": 1}
    assert [built.rcpt_to for built in transport.given] == ["user2@customer.example"]
    assert_verified(ledger, transport)


def test_the_outbox_holds_exactly_the_bytes_that_the_ledger_keeps(ledger: Ledger, tmp_path: Path) -> None:
    released(ledger, planned(1))
    with OutboxChannel(tmp_path / "outbox", AS_OF) as channel:
        run(ledger, channel)

    (file,) = (tmp_path / "outbox/2026-11-21").iterdir()

    assert file.name == "m001.eml"
    assert b"Date: Sat, 21 Nov 2026 09:00:00 +0000\r\n" in file.read_bytes()
    assert_verified(ledger)


def test_progress_is_told_after_each_turn(ledger: Ledger) -> None:
    released(ledger, *map(planned, range(3)))
    told: list[Counts] = []

    run(ledger, Told(), on_progress=told.append)

    assert [counts.outcomes for counts in told] == [{}, {"sent": 1}, {"sent": 2}, {"sent": 3}]


@pytest.mark.parametrize("sender", ["Ledgerline", "", "a@b.example, c@d.example", "=?utf-8?q?x?= <a@b.example>"])
def test_a_sender_that_cannot_be_one_stops_before_the_first_claim(ledger: Ledger, sender: str) -> None:
    released(ledger, planned(1))

    with pytest.raises(InputError, match="POSTRIDER_SENDER"):
        run(ledger, Told(), sender=sender)

    assert states(ledger) == {"m001": ("approved", None)}


def test_the_kill_switch_stops_within_a_group(ledger: Ledger) -> None:
    """Thirty are committed together, one is sent after the switch at most: what was not begun is known not to be sent."""
    released(ledger, *map(planned, range(40)))

    def kill_at_the_third(built: Built) -> Receipt:
        if built.message_id == "m002":
            ledger.kill("operator", "wrong audience")
        return Receipt("sent", "")

    channel = Told(kill_at_the_third, in_flight=30)
    counts = run(ledger, channel)

    assert (len(channel.given), counts.ended_by) == (3, "killed")
    assert counts.outcomes == {"sent": 3, "not_sent": 27}
    assert [state for state, _ in states(ledger).values()] == ["sent"] * 3 + ["approved"] * 37
    assert_verified(ledger, channel)


def test_a_pause_skips_the_rest_of_its_campaign_within_a_group(ledger: Ledger) -> None:
    released(ledger, *[planned(n, campaign_id="welcome" if n % 2 else "winback") for n in range(10)])

    def pause(_: Built) -> Receipt:
        ledger.pause("winback", "operator", "typo")
        return Receipt("sent", "")

    channel = Told(pause, in_flight=10)
    counts = run(ledger, channel)

    assert [built.message_id for built in channel.given] == ["m000", "m001", "m003", "m005", "m007", "m009"]
    assert counts.outcomes == {"sent": 6, "not_sent": 4}
    assert_verified(ledger, channel)


def test_an_orphan_stops(ledger: Ledger) -> None:
    """A worker whose parent is gone sends what it is sending, and no more."""
    released(ledger, *map(planned, range(5)))
    channel = Told(in_flight=5)

    counts = run(ledger, channel, is_orphaned=lambda: len(channel.given) == 2)

    assert (counts.outcomes, counts.ended_by) == ({"sent": 2, "not_sent": 3}, "orphaned")
    assert_verified(ledger, channel)


class Flickering:
    """A ledger whose database goes away once, before or after it did what it was asked. Each renewal finds a lost worker's send."""

    def __init__(self, ledger: Ledger, call: str, *, is_done: bool) -> None:
        self._ledger, self.call, self._is_done = ledger, call, is_done

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)
        if name != self.call:
            return method

        def lost(*arguments: Any) -> Any:
            self.call = ""
            if self._is_done:
                method(*arguments)
            raise LostConnectionError("ledger: server closed the connection unexpectedly")

        return lost

    def extend_claims(self, worker: str, lease_seconds: float) -> int:
        return self.__getattr__("extend_claims")(worker, lease_seconds) or 1


CALLS = ("turn", "extend_claims", "settle_by_inbox", "unknown", "throttled_until", "release_claims", "cancel")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("is_done", [False, True])
def test_a_database_that_goes_away_in_a_commit_is_asked_again(
    ledger: Ledger, tmp_path: Path, call: str, is_done: bool
) -> None:
    """Whether or not the commit had been done: nothing twice, nothing lost, and the worker goes on."""
    released(ledger, *map(planned, range(5)), planned(5, email="jürgen@customer.example"))
    channel = Told(in_flight=6)
    flickering = Flickering(ledger, call, is_done=is_done)

    run(flickering, channel, notes=tmp_path, way=Way(parse_flow({}, "delivery.yml"), "smtp", "ledgerline.example"))  # type: ignore[arg-type]
    assert flickering.call == "", "it was asked"
    assert channel.accepted == {f"m{number:03}": 1 for number in range(5)}
    assert {state for state, _ in states(ledger).values()} == {"sent", "cancelled"}
    assert_verified(ledger, channel)


class GivenUp:
    """A ledger whose database goes away after a mark, for so long that another worker gives up the one that made it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.has_happened = ledger, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def turn(self, *arguments: Any) -> Any:
        told = self._ledger.turn(*arguments)
        if not arguments[2] or self.has_happened:  # the sends that it marks
            return told
        self.has_happened = True
        with self._ledger._database.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE messages SET lease_expires_at = '2026-01-01 00:00:00.000000' WHERE state = 'sending'"
            )
        self._ledger.extend_claims("another", 60)
        assert {state for state, _ in states(self._ledger).values()} == {"unknown"}
        raise LostConnectionError("ledger: server closed the connection unexpectedly")


def test_a_worker_that_was_given_up_before_it_began_says_that_nothing_went_out(ledger: Ledger) -> None:
    """It asks for the mark again and is refused; nobody else could know, and they would stay in doubt for ever."""
    released(ledger, *map(planned, range(3)))
    channel = Told(in_flight=3)

    run(GivenUp(ledger), channel)  # type: ignore[arg-type]

    assert channel.given == []
    assert {state for state, _ in states(ledger).values()} == {"approved"}
    run(ledger, channel)
    assert channel.accepted == {f"m{number:03}": 1 for number in range(3)}
    assert_verified(ledger, channel)


def test_a_database_that_goes_away_after_the_last_mail_is_told_of_it(ledger: Ledger) -> None:
    released(ledger, planned(1), planned(2))

    def interrupted(_: Built) -> Receipt:
        os.kill(os.getpid(), signal.SIGINT)
        return Receipt("sent", "")

    with pytest.raises(KeyboardInterrupt):
        run(Flickering(ledger, "record_outcomes", is_done=False), Told(interrupted))  # type: ignore[arg-type]

    assert [state for state, _ in states(ledger).values()] == ["sent", "approved"]
