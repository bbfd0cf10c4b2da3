"""A provider that remembers keys and loses its answers, and workers that die while they wait for one: nobody gets two mails, nobody none,
and nothing is left in doubt."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dagster_project.adapters import delivering, repeating
from dagster_project.adapters.channels.base import Channel
from dagster_project.adapters.channels.esp import EspChannel
from dagster_project.adapters.channels.http_post import Timeouts
from dagster_project.adapters.channels.webhook import WebhookChannel
from dagster_project.adapters.clock import utc_now
from dagster_project.ledger import open_ledger, repeats
from tests.http_server import Forgetful, Request, Scripted, reply

from .conftest import HERE, LEASE_SECONDS, LETTERHEAD
from .test_kill import needs_strace, points_of, stop_outside_a_transaction

MakeLedger = Callable[[int], str]
Figures = Callable[..., None]
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef" * 2).decode()
# Every sixteenth is a reply that never comes: that costs the client its whole patience.
TROUBLES = ("drop", reply(502), "half", reply(503), "reset") * 3 + ("hang",)
IMPATIENT = Timeouts(connect=1, write=1, reply=0.05)
CHUNKS = 8  # each a ledger of its own, so that the cores share them


def key_of(request: Request) -> str:
    return request.headers["idempotency-key"]


def accepts(key: str) -> bytes:
    return reply(200, json.dumps({"id": f"re-{key}"}).encode())


def resend(server: Scripted, timeouts: Timeouts = IMPATIENT) -> Channel:
    return EspChannel("resend", {"api_key": "re_12345678"}, api_url=base_of(server), timeouts=timeouts)


def webhook(server: Scripted) -> Channel:
    return WebhookChannel(server.url, SECRET, receiver_is_idempotent=True, timeouts=IMPATIENT)


def base_of(server: Scripted) -> str:
    return f"http://{server.label}/"


def states_of(url: str) -> Counter[str]:
    with open_ledger(url, utc_now) as ledger:
        return Counter(message.state for message in ledger.messages())


def judge(url: str, provider: Forgetful, count: int) -> Counter[str]:
    """Every message is sent, and was acted upon once, under one body; the ledger holds."""
    with open_ledger(url, utc_now) as ledger:
        report = ledger.verify(provider.acted)
    states = states_of(url)
    assert states == {"sent": count}, "none lost, none left in doubt"
    assert (len(provider.acted), set(provider.acted.values())) == (count, {1}), "none twice"
    assert {len(bodies) for bodies in provider.bodies.values()} == {1}, "or it would be refused as another request"
    assert [one for one in report["invariants"] if not one["ok"]] == []
    assert report["chain"]["ok"]
    return states


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and no giving up: nearly every answer is lost here."""
    monkeypatch.setattr(repeats, "FIRST_PAUSE", timedelta(0))
    monkeypatch.setattr(repeats, "LONGEST_PAUSE", timedelta(0))
    monkeypatch.setattr(delivering, "MAX_TIMES_DOWN", 1_000_000)
    monkeypatch.setattr(repeating, "MAX_TIMES_DOWN", 1_000_000)


class TestLostAnswers:
    """Where the database makes no difference."""

    @pytest.fixture
    def database(self) -> str:
        return "sqlite"

    @pytest.mark.parametrize("chunk", range(CHUNKS))
    @pytest.mark.parametrize("open_channel", [resend, webhook])
    @pytest.mark.slow
    def test_ambiguous_attempts_are_settled_by_key_and_acted_on_once(
        self,
        make_ledger: MakeLedger,
        open_channel: Callable[[Scripted], Channel],
        chunk: int,
        is_long: bool,
        impatient: None,
        figures: Figures,
    ) -> None:
        """Over all chunks 320 lost answers in the short form, 10,000 in the long one."""
        wanted, count = (
            (10_000 // CHUNKS, 480) if is_long else (320 // CHUNKS, 30)
        )  # some three lost answers per message
        url, provider = make_ledger(count), Forgetful(key_of, accepts, seed=chunk, troubles=TROUBLES)
        with Scripted(good=provider) as server, open_ledger(url, utc_now) as ledger, open_channel(server) as channel:
            counts = delivering.deliver(ledger, channel, LETTERHEAD, worker="w", clock=utc_now)

        assert counts.by_key["sent"] == counts.outcomes["unknown"] > 0
        assert provider.ambiguous >= wanted
        ends = judge(url, provider, count)
        fault = f"{open_channel.__name__}: most answers lost, settled by key"
        figures(fault, runs=1, ends=ends, answers_lost=provider.ambiguous)

    def test_a_provider_that_remembers_no_keys_would_act_twice(self, make_ledger: MakeLedger, impatient: None) -> None:
        """The test above can fail: it is the provider's memory that makes the difference, and a wrong word about it is found."""
        url = make_ledger(30)
        provider = Forgetful(key_of, accepts, troubles=TROUBLES, remembers=False)
        with Scripted(good=provider) as server, open_ledger(url, utc_now) as ledger, resend(server) as channel:
            delivering.deliver(ledger, channel, LETTERHEAD, worker="w", clock=utc_now)

            assert max(provider.acted.values()) > 1
            failed = {one["id"] for one in ledger.verify(provider.acted)["invariants"] if not one["ok"]}
        assert failed == {"I2"}


class Esp:
    """One ledger with a released audience, and a provider in this process that loses every tenth answer."""

    def __init__(self, url: str, count: int, notes: Path) -> None:
        self.url, self.count, self.notes = url, count, notes
        self.provider = Forgetful(key_of, accepts, lost=(0.02, 0.08), troubles=("drop", reply(502), "half", "reset"))
        self.server = Scripted(good=self.provider)
        self.server.__enter__()

    def worker(self, *wrapped_in: str) -> subprocess.Popen[str]:
        arguments = [self.url, base_of(self.server), str(LEASE_SECONDS), str(self.notes)]
        command = [*wrapped_in, sys.executable, str(HERE / "worker.py"), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def await_mails(self, count: int) -> None:
        give_up = time.monotonic() + 60
        while len(self.provider.acted) < count:
            assert time.monotonic() < give_up, f"no {count} mails in a minute"
            time.sleep(0.001)

    def resume(self) -> None:
        """What the next workers do by themselves, as soon as the leases of the dead are over. What was certainly not sent waits a minute:
        on a machine with much to do a worker is late for its own send."""
        give_up = time.monotonic() + 180
        while states_of(self.url) != {"sent": self.count}:
            assert time.monotonic() < give_up, f"still {states_of(self.url)} after three minutes"
            time.sleep(LEASE_SECONDS / 4)
            patience = Timeouts(connect=5, write=2, reply=2)
            with open_ledger(self.url, utc_now) as ledger, resend(self.server, patience) as channel:
                delivering.deliver(ledger, channel, LETTERHEAD, worker="resumed", clock=utc_now, notes=self.notes)


@pytest.fixture
def make_esp(
    make_ledger: MakeLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Esp]]:
    monkeypatch.setattr(repeats, "FIRST_PAUSE", timedelta(seconds=LEASE_SECONDS / 4))
    monkeypatch.setattr(repeats, "LONGEST_PAUSE", timedelta(seconds=LEASE_SECONDS))
    monkeypatch.setattr(repeating, "LEASE_SECONDS", LEASE_SECONDS)
    with contextlib.ExitStack() as stack:

        def make(count: int) -> Esp:
            esp = Esp(make_ledger(count), count, tmp_path / f"notes-{random.randrange(10**9)}")
            stack.callback(esp.server.close)
            return esp

        yield make


@pytest.mark.slow
def test_workers_killed_at_random_leave_nothing_in_doubt(
    make_esp: Callable[[int], Esp], is_long: bool, figures: Figures
) -> None:
    ends: Counter[str] = Counter()
    runs, lost = (25 if is_long else 3), 0
    for _ in range(runs):
        esp = make_esp(100)
        workers = [esp.worker() for _ in range(2)]
        esp.await_mails(random.randint(1, 60))
        for worker in random.sample(workers, random.randint(1, 2)):
            worker.kill()
        for worker in workers:
            worker.wait(timeout=60)
        esp.resume()
        ends += judge(esp.url, esp.provider, esp.count)
        lost += esp.provider.ambiguous
    figures("random SIGKILL of one or two workers of an ESP", runs=runs, ends=ends, answers_lost=lost)


@pytest.mark.slow
def test_workers_killed_again_and_again_while_they_settle_leave_nothing_in_doubt(
    make_esp: Callable[[int], Esp], is_long: bool, figures: Figures
) -> None:
    """All answers of a run are lost; then one worker after the other is killed at its first repeats."""
    esp = make_esp(60)
    esp.provider.lost, usual = (0.5, 1.0), esp.provider.lost
    while states_of(esp.url) != {"unknown": 60}:
        with open_ledger(esp.url, utc_now) as ledger, resend(esp.server) as channel:
            delivering.deliver(ledger, channel, LETTERHEAD, worker="first", clock=utc_now)
    esp.provider.lost = usual
    runs = 30 if is_long else 2
    for _ in range(runs):
        seen, worker = len(esp.server.requests), esp.worker()
        give_up = time.monotonic() + 60
        while len(esp.server.requests) == seen and worker.poll() is None:
            assert time.monotonic() < give_up, "no request in a minute"
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
        worker.kill()
        worker.wait(timeout=60)
    esp.resume()

    ends = judge(esp.url, esp.provider, esp.count)
    with open_ledger(esp.url, utc_now) as ledger:
        events = Counter(event["kind"] for one in ledger.messages() for event in ledger.story(one.message_id)["events"])
    assert events["repeating"] > events["repeated"], "some died in a repeat"
    figures("one worker of an ESP after the other killed", runs=runs, ends=ends, answers_lost=esp.provider.ambiguous)


@needs_strace
@pytest.mark.slow
def test_a_worker_killed_at_any_system_call_leaves_nothing_in_doubt(
    make_esp: Callable[[int], Esp], tmp_path: Path, is_long: bool, figures: Figures
) -> None:
    esp = make_esp(10)
    points = points_of(esp.worker, tmp_path / "trace")
    ends: Counter[str] = Counter()
    chosen = random.sample(points, min(len(points), 60 if is_long else 4))
    for name, number in chosen:
        esp = make_esp(10)
        inject = f"inject={name}:signal=KILL:when={number}"
        esp.worker("strace", "-f", "-qq", "-e", f"trace={name}", "-e", inject, "-o", "/dev/null").wait(timeout=60)
        esp.resume()
        ends += judge(esp.url, esp.provider, esp.count)
    figures("SIGKILL of a worker of an ESP at a system call that writes, syncs or sends", runs=len(chosen), ends=ends)


@pytest.mark.slow
def test_a_worker_stopped_past_its_lease_and_continued_sends_nothing_twice(
    make_esp: Callable[[int], Esp], figures: Figures
) -> None:
    """Others give up its send and repeat it by key; what it says when it goes on counts no more."""
    esp = make_esp(100)
    zombie = esp.worker()
    esp.await_mails(20)
    stop_outside_a_transaction(zombie, esp.url)
    esp.resume()
    zombie.send_signal(signal.SIGCONT)
    zombie.wait(timeout=60)
    figures("worker of an ESP stopped past its lease, then continued", runs=1, ends=judge(esp.url, esp.provider, 100))
