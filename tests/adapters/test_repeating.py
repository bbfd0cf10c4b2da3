"""A worker settles doubts by the provider's memory: only what the provider says of the key counts, and a switch comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from dagster_project.adapters import repeating
from dagster_project.adapters.channels import Receipt
from dagster_project.adapters.channels.base import SingleTransport
from dagster_project.adapters.channels.esp import EspChannel
from dagster_project.adapters.channels.failover import FailoverChannel
from dagster_project.adapters.channels.lock import LockedChannel, read_allow_list
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.delivering import Counts, deliver
from dagster_project.adapters.repeating import LEASE_SECONDS, MAX_TIMES_DOWN, Repeats, usable
from dagster_project.ledger import Ledger, open_ledger
from dagster_project.ledger import repeats as ledger_repeats
from dagster_project.lifecycle.errors import LostConnectionError
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built
from tests.faults.conftest import LETTERHEAD
from tests.http_server import PATIENCE, Request, Scripted, reply
from tests.ledgers import new_ledger
from tests.released import AS_OF, release

LOST = Receipt("unknown", "reply: timed out")
DOWN = Receipt("unknown", "reply: timed out", is_channel_down=True)
SENT = Receipt("sent", "reply: 200 OK", "r-1", holds_for_key=True)
Answer = Callable[[Built, int], Receipt]


class Keyed(SingleTransport):
    """A transport that takes keys and answers as told: each mail with how often it has come. It keeps what it was given."""

    in_flight = 1

    def __init__(self, answer: Answer, name: str = "keyed", lifetime: timedelta | None = timedelta(hours=24)) -> None:
        self.name, self.answer, self.lifetime = name, answer, lifetime
        self.given: list[Built] = []

    @property
    def key_lifetime(self) -> timedelta | None:
        return self.lifetime

    def via(self, message_id: str) -> Via:
        return Via(self.name, message_id if self.lifetime else None)

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        for built in mails:
            self.given.append(built)
            yield built, self.answer(built, [one.message_id for one in self.given].count(built.message_id))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def lost_first(*then: Receipt) -> Answer:
    """The first answer is lost; then these, the last of them for ever."""
    return lambda _, times: LOST if times == 1 else then[min(times - 2, len(then) - 1)]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_repeats, "FIRST_PAUSE", timedelta(0))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return new_ledger(tmp_path / "ledger.sqlite")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with open_ledger(url, utc_now) as opened:
        yield opened


def run(ledger: Any, channel: Any, **changed: Any) -> Counts:
    return deliver(ledger, channel, LETTERHEAD, **({"worker": "w1", "clock": utc_now} | changed))


def look(ledger: Any, channel: Any, worker: str = "w2", message_ids: Sequence[str] | None = None) -> Repeats:
    """What another worker does when there is nothing else to send."""
    with ledger.watch() as watch:
        repeats = Repeats(ledger, channel, watch, worker=worker, clock=utc_now, as_of=AS_OF)
        repeats.look(is_last=True, message_ids=message_ids)
    return repeats


def in_doubt(url: str, ledger: Ledger, count: int, channel: Any = None) -> None:
    """So many messages whose first answer was lost, and whose first repeat is due."""
    release(url, count)
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(ledger_repeats, "FIRST_PAUSE", timedelta(hours=1))
        run(ledger, channel or Keyed(lambda *_: LOST))
    assert states(ledger) == ["unknown"] * count


def states(ledger: Ledger) -> list[str]:
    return [message.state for message in ledger.messages()]


def assert_verified(ledger: Ledger) -> None:
    assert [one for one in ledger.verify()["invariants"] if not one["ok"]] == []


def test_a_run_settles_its_own_doubts_before_it_ends(url: str, ledger: Ledger) -> None:
    release(url, 5)
    channel = Keyed(lambda built, times: LOST if built.message_id == "m00002" and times == 1 else SENT)

    counts = run(ledger, channel)

    assert (counts.outcomes, counts.by_key) == ({"sent": 4, "unknown": 1}, {"sent": 1})
    assert counts.as_dict()["by_key"] == {"sent": 1}
    first, again = [built for built in channel.given if built.message_id == "m00002"]
    assert first == again, "the very same bytes, envelope and key"
    assert states(ledger) == ["sent"] * 5
    assert_verified(ledger)


def test_doubts_are_settled_while_other_mails_go_out(url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may take longer than a provider remembers a key."""
    monkeypatch.setattr(repeating, "TURN_SECONDS", 0.0)
    release(url, 5)
    channel = Keyed(lambda built, times: LOST if built.message_id == "m00000" and times == 1 else SENT)

    run(ledger, channel)

    order = [built.message_id for built in channel.given]
    assert order == ["m00000", "m00001", "m00000", "m00002", "m00003", "m00004"]


@pytest.mark.parametrize(
    ("receipt", "state"),
    [
        (SENT, "sent"),
        (Receipt("rejected", "reply: 400", holds_for_key=True), "rejected"),
        (Receipt("rejected", "not_on_allow_list"), "unknown"),
        (Receipt("rejected", "holds {{, which brevo would fill in"), "unknown"),
        (Receipt("not_sent", "reply: 401 Unauthorized"), "unknown"),
        (Receipt("deferred", "reply: 429 Too Many Requests"), "unknown"),
        (Receipt("unknown", "reply: 409 Conflict"), "unknown"),
        (Receipt("unknown", "reply: 502", holds_for_key=True), "unknown"),
    ],
)
def test_only_the_other_sides_word_on_the_key_settles_it(
    url: str, ledger: Ledger, receipt: Receipt, state: str
) -> None:
    """A request that was refused before the key was looked at says nothing about the first one."""
    release(url, 1)
    channel = Keyed(lost_first(receipt))

    run(ledger, channel)

    assert states(ledger) == [state]
    assert len(channel.given) == 2
    if state == "unknown":
        assert receipt.detail in str(ledger.unknown()[0].detail)
    assert_verified(ledger)


def test_somebody_who_left_the_allow_list_stays_in_doubt(url: str, ledger: Ledger) -> None:
    """The lock refuses the repeat; the first request may have gone out all the same."""
    transport = Keyed(lost_first(SENT))
    in_doubt(url, ledger, 2, LockedChannel(transport, read_allow_list("@customer.example")))

    look(ledger, LockedChannel(transport, read_allow_list("user1@customer.example")))

    assert [built.message_id for built in transport.given] == ["m00000", "m00001", "m00001"]
    assert states(ledger) == ["unknown", "sent"]
    assert ledger.unknown()[0].detail == "rejected: not_on_allow_list"


def test_a_switch_between_two_repeats_stops_the_second(url: str, ledger: Ledger) -> None:
    in_doubt(url, ledger, 3)

    def kill(_: Built, _times: int) -> Receipt:
        ledger.kill("operator", "wrong audience")
        return SENT

    channel = Keyed(kill)
    look(ledger, channel)

    assert len(channel.given) == 1
    assert states(ledger) == ["sent", "unknown", "unknown"]
    assert ledger.unknown()[0].detail == "not repeated: stopped before it was begun"
    assert_verified(ledger)


def test_a_pause_between_two_repeats_stops_its_campaign(url: str, ledger: Ledger) -> None:
    in_doubt(url, ledger, 3)

    def pause(_: Built, _times: int) -> Receipt:
        ledger.pause("welcome", "operator", "typo")
        return SENT

    channel = Keyed(pause)
    look(ledger, channel)

    assert len(channel.given) == 1
    assert states(ledger) == ["sent", "unknown", "unknown"]


def test_a_suppressed_person_is_left_to_the_operator(url: str, ledger: Ledger) -> None:
    in_doubt(url, ledger, 2)
    ledger.suppress(reason="unsubscribed", actor="web", user_id="u0")
    channel = Keyed(lambda *_: SENT)

    look(ledger, channel)

    assert [built.message_id for built in channel.given] == ["m00001"]
    assert states(ledger) == ["unknown", "sent"]
    assert_verified(ledger)


def test_a_provider_that_is_down_is_left_alone(url: str, ledger: Ledger) -> None:
    in_doubt(url, ledger, 10)
    channel = Keyed(lambda *_: DOWN)

    look(ledger, channel)

    assert len(channel.given) == MAX_TIMES_DOWN
    assert states(ledger) == ["unknown"] * 10


def test_another_channel_repeats_nothing(url: str, ledger: Ledger) -> None:
    """Another account, another provider, or one without keys."""
    in_doubt(url, ledger, 1)
    strangers = [Keyed(lambda *_: SENT, "other"), Keyed(lambda *_: SENT, lifetime=None)]

    for stranger in strangers:
        look(ledger, stranger)

    assert [stranger.given for stranger in strangers] == [[], []]
    assert states(ledger) == ["unknown"]


def test_of_two_transports_the_one_that_had_the_first_request_is_asked(url: str, ledger: Ledger) -> None:
    """The first is up again by then; it has never heard of the message, and would send it."""
    down = Receipt("not_sent", "connect: refused", is_channel_down=True)
    first, second = Keyed(lambda *_: down, "first"), Keyed(lost_first(SENT), "second")
    with FailoverChannel(first, second) as channel:
        in_doubt(url, ledger, 2, channel)
        first.answer, first.given = lambda *_: SENT, []
        look(ledger, channel)

    assert first.given == []
    assert [built.message_id for built in second.given] == ["m00000", "m00001"] * 2
    assert states(ledger) == ["sent", "sent"]
    assert {row["transport"] for row in ledger.story("m00000")["attempts"]} == {"second"}
    assert_verified(ledger)


def test_by_name_only_those_are_repeated_and_without_waiting(url: str, ledger: Ledger) -> None:
    in_doubt(url, ledger, 30)
    look(ledger, Keyed(lambda *_: LOST))
    channel = Keyed(lambda *_: SENT)

    asked = [f"m{number:05}" for number in range(25)]
    repeats = look(ledger, channel, message_ids=asked)

    assert sorted(built.message_id for built in channel.given) == asked
    assert repeats.outcomes == {"sent": 25}
    assert states(ledger) == ["sent"] * 25 + ["unknown"] * 5


def test_by_a_clock_that_is_wrong_no_key_is_relied_upon(url: str) -> None:
    """Ahead by two hours it would date the attempt so, and for two hours more a forgotten key would look young."""
    release(url, 1)
    channel = Keyed(lambda *_: LOST)
    with open_ledger(url, lambda: utc_now() + timedelta(hours=2)) as ahead:
        run(ahead, channel)
    channel.answer = lambda *_: SENT

    with open_ledger(url, utc_now) as right:
        look(right, channel)
        (attempt,) = right.story("m00000")["attempts"]

        assert (len(channel.given), states(right)) == (1, ["unknown"])
        assert (attempt["transport"], attempt["idempotency_key"]) == ("keyed", None)
        assert_verified(right)


def test_a_worker_whose_clock_is_wrong_repeats_nothing(url: str, ledger: Ledger) -> None:
    """Behind, it would take a key for younger than it is."""
    in_doubt(url, ledger, 1)
    channel = Keyed(lambda *_: SENT)

    with open_ledger(url, lambda: utc_now() - timedelta(hours=2)) as behind:
        look(behind, channel, message_ids=["m00000"])

    assert (channel.given, states(ledger)) == ([], ["unknown"])


def test_a_worker_that_slept_between_mark_and_send_sends_nothing(url: str, ledger: Ledger) -> None:
    """By the time it wakes up somebody else may have repeated the message, under a key that is forgotten by now."""
    release(url, 1)
    channel = Keyed(lambda *_: SENT)
    now = [utc_now()]

    class Sleepy:
        def __getattr__(self, name: str) -> Any:
            return getattr(ledger, name)

        def turn(self, *arguments: Any) -> Any:
            told = ledger.turn(*arguments)
            now[0] += timedelta(seconds=LEASE_SECONDS + 1)
            return told

    counts = run(Sleepy(), channel, clock=lambda: now[0])

    assert (channel.given, counts.outcomes) == ([], {"not_sent": 1})
    assert states(ledger) == ["approved"]


def test_a_worker_that_slept_between_two_repeats_leaves_the_rest(url: str, ledger: Ledger) -> None:
    in_doubt(url, ledger, 3)
    now = [utc_now()]

    def sleep(_: Built, _times: int) -> Receipt:
        now[0] += timedelta(seconds=LEASE_SECONDS + 1)
        return SENT

    channel = Keyed(sleep)
    with ledger.watch() as watch:
        repeats = Repeats(ledger, channel, watch, worker="w2", clock=lambda: now[0], as_of=AS_OF)
        repeats.look()

    assert len(channel.given) == 1
    assert states(ledger) == ["sent", "unknown", "unknown"]


def test_an_interrupted_repeat_is_held_and_what_was_learned_is_kept(url: str, ledger: Ledger) -> None:
    in_doubt(url, ledger, 3)

    def interrupt_the_second(built: Built, _times: int) -> Receipt:
        if built.message_id == "m00001":
            raise KeyboardInterrupt
        return SENT

    with pytest.raises(KeyboardInterrupt):
        look(ledger, Keyed(interrupt_the_second))

    assert states(ledger) == ["sent", "unknown", "unknown"]
    standing = ledger.standing({"keyed": timedelta(hours=16)}, "demo", AS_OF)
    assert [one.obstacle for one in standing.values()] == ["being_repeated", None]


@pytest.mark.parametrize("call", ["clock_error", "begin_repeats", "record_repeats"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_database_that_goes_away_leaves_the_doubt_for_another_look(
    url: str, ledger: Ledger, call: str, is_done: bool
) -> None:
    """Asking again by key costs a request and never a mail."""
    in_doubt(url, ledger, 1)
    channel = Keyed(lambda *_: SENT)

    class Flickering:
        def __getattr__(self, name: str) -> Any:
            method = getattr(ledger, name)

            def lost(*arguments: Any) -> Any:
                if is_done:
                    method(*arguments)
                raise LostConnectionError("ledger: server closed the connection unexpectedly")

            return lost if name == call else method

    look(Flickering(), channel)
    look(ledger, channel, message_ids=["m00000"])

    assert states(ledger) == ["sent"]
    assert_verified(ledger)


def test_of_a_keys_lifetime_two_thirds_are_used() -> None:
    """Brevo's 15 minutes less 5: less than that is taken by a request's own way and by clocks that differ."""
    brevo = EspChannel("brevo", {"api_key": "key-0123456789abcdef"})

    assert list(usable(brevo).values()) == [timedelta(minutes=10)]
    assert timedelta(seconds=100) + 2 * repeating.MOST_CLOCK_ERROR < timedelta(minutes=5)
    assert usable(LockedChannel(brevo, read_allow_list(""))) == usable(brevo)
    assert usable(FailoverChannel(Keyed(lambda *_: SENT), brevo)) == {"keyed": timedelta(hours=16), **usable(brevo)}
    assert usable(Keyed(lambda *_: SENT, lifetime=None)) == {}


def test_a_real_provider_is_asked_for_the_same_in_the_same_words(url: str, ledger: Ledger) -> None:
    """Another day, another process: body and key are those of the first request, or the provider would refuse it."""
    answers: list[bytes | str] = ["drop", reply(200, b'{"id": "re-1"}')]

    def answer(_: Request) -> bytes | str:
        return answers.pop(0)

    def opened(server: Scripted) -> EspChannel:
        return EspChannel("resend", {"api_key": "re_12345678"}, api_url=server.url, timeouts=PATIENCE)

    with Scripted(good=answer) as server:
        with opened(server) as channel:
            in_doubt(url, ledger, 1, channel)
        with opened(server) as channel:
            look(ledger, channel)
    first, again = server.requests

    assert (first.body, first.headers["idempotency-key"]) == (again.body, again.headers["idempotency-key"])
    assert first.headers["idempotency-key"] == "m00000"
    assert states(ledger) == ["sent"]
    assert ledger.story("m00000")["attempts"][0]["provider_id"] == "re-1"
    assert_verified(ledger)
