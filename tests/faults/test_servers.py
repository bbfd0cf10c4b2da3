"""Servers that refuse, drop, hang or lie, at every stage; replies that are lost; a database that restarts; disks that fail."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from dagster_project.adapters import delivering
from dagster_project.adapters.channels.smtp import SmtpChannel, Timeouts
from dagster_project.adapters.channels.smtp_url import SmtpServer
from dagster_project.adapters.clock import utc_now
from dagster_project.lifecycle.errors import InputError
from tests.postgresql import PostgreSQL, running_or_skipped
from tests.released import Recorder, release

from .conftest import LEASE_SECONDS, LETTERHEAD, Scene, answer_of

MakeScene = Callable[..., Scene]
Figures = Callable[..., None]
STAGES = ("connect", "ehlo", "mail", "rcpt", "data", "dot", "quit")
KINDS = ("4xx", "5xx", "421", "drop", "hang", "garbage")
PATIENCE = Timeouts(connect=0.5, command=0.5, final_reply=0.5, quit=0.3)
AT_THE_DOT = {
    "4xx": "deferred", "5xx": "rejected", "421": "deferred", "drop": "unknown", "hang": "unknown", "garbage": "unknown",
}  # fmt: skip


def outcome_of(stage: str, kind: str) -> str:
    """The truth, as the reference's table of outcome classes has it."""
    if stage == "quit":
        return "sent"
    return AT_THE_DOT[kind] if stage == "dot" else "not_sent"


@pytest.fixture
def database() -> str:
    """Where the database makes no difference."""
    return "sqlite"


@pytest.mark.parametrize("pipelining", ["--no-pipelining", ""])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
def test_trouble_at_each_stage_of_each_kind_is_classed_right(
    make_scene: MakeScene, stage: str, kind: str, pipelining: str, figures: Figures
) -> None:
    """42 of 42, with and without pipelining; whatever the class, nothing arrives twice."""
    scene = make_scene(1, "--fault", f"{stage}:{kind}", *filter(None, [pipelining]))
    with scene.open() as ledger:
        try:
            with SmtpChannel(SmtpServer("127.0.0.1", scene.recorder.port), timeouts=PATIENCE) as channel:
                counts = delivering.deliver(ledger, channel, LETTERHEAD, worker="w", clock=utc_now)
            assert counts.outcomes == {outcome_of(stage, kind): 1}
        except InputError:
            assert stage in ("connect", "ehlo"), "said before anything was claimed"
            assert ledger.messages()[0].state == "approved"
    ends = scene.judge(lost_for_now=["approved", "deferred", "rejected"])
    figures("SMTP trouble at seven stages of six kinds, classed right", runs=1, ends=ends)


@pytest.mark.parametrize("pipelining", ["--no-pipelining", ""])
def test_a_lost_reply_is_in_doubt_and_never_sent_again(
    make_scene: MakeScene, pipelining: str, figures: Figures
) -> None:
    """Every second reply to the dot is lost after the message was accepted."""
    faults = [part for nth in range(1, 41, 2) for part in ("--fault", f"dot:lost:{nth}")]
    scene = make_scene(40, *faults, *filter(None, [pipelining]))
    answer_of(scene.worker())
    scene.resume()

    states = scene.judge()
    assert states == {"sent": 20, "unknown": 20}
    figures(f"reply to the dot lost, every second mail{' (no pipelining)' * bool(pipelining)}", runs=1, ends=states)
    assert len(scene.recorder.lines()) == 40, "all of them arrived, none of them twice"


@pytest.mark.slow
def test_an_unsubscribe_that_races_the_send_is_obeyed_from_its_commit_on(
    make_scene: MakeScene, is_long: bool, figures: Figures
) -> None:
    """1,000 interleavings: who unsubscribed before the mark was committed gets nothing."""
    count = 1000 if is_long else 200
    scene = make_scene(count)
    worker = scene.worker()
    scene.await_first()
    order = random.sample(range(count), count)
    with scene.open() as ledger:
        for number in order:
            ledger.suppress(reason="unsubscribed", actor="web", user_id=f"u{number}")
            if worker.poll() is not None:
                break
    worker.wait(timeout=60)
    with scene.open() as ledger:
        report = ledger.verify(scene.recorder.accepted(ledger))
        states = Counter(message.state for message in ledger.messages())
    assert [one for one in report["invariants"] if not one["ok"]] == [], (
        "I5 among them: none sent after its suppression"
    )
    assert set(states) <= {"sent", "cancelled"}
    assert states["cancelled"] > 0, "some were stopped in time, or the race was none"
    figures("unsubscribe races the send", runs=count, ends=states)


@pytest.mark.slow
def test_the_kill_switch_stops_four_workers_within_a_mail_each(make_scene: MakeScene, figures: Figures) -> None:
    scene = make_scene(2000)
    workers = [scene.worker() for _ in range(4)]
    scene.await_first()
    time.sleep(0.1)
    with scene.open() as ledger:
        ledger.kill("operator", "wrong audience")
        killed, at = time.monotonic(), len(scene.recorder.lines())
        for worker in workers:
            worker.wait(timeout=60)
        took = time.monotonic() - killed
    further = len(scene.recorder.lines()) - at
    assert further <= 2 * len(workers), f"{further} mails after the switch"  # one being sent, one announced behind it
    assert took < 5, "the processes ended, which takes longer than the last mail"
    figures("kill switch, mails after its commit", runs=1, further=further, ends=scene.judge(lost_for_now=["approved"]))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs the superuser")
def test_a_full_disk_sends_nothing_without_a_mark_and_goes_on_when_there_is_room(
    tmp_path: Path, figures: Figures
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        url = f"sqlite:///{small / 'ledger.sqlite'}"
        release(url, 200)
        with Recorder(tmp_path / "record") as recorder:
            scene = Scene(url, 200, recorder, tmp_path / "notes")
            free = shutil.disk_usage(small).free
            (small / "ballast").write_bytes(b"x" * max(free - 200_000, 0))
            worker = scene.worker()
            _, err = worker.communicate(timeout=60)
            assert worker.returncode != 0
            assert "full" in err
            (small / "ballast").unlink()
            scene.resume()
            figures("full disk", runs=1, ends=scene.judge())
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace (Debian: strace) is not installed")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_disk_that_fails_ends_the_worker_before_the_mail(
    make_scene: MakeScene, call: str, is_long: bool, figures: Figures
) -> None:
    """EIO: what could not be made durable is not sent, and the same handle is not trusted again."""
    for number in range(1, 30) if is_long else (2, 5, 9):
        scene = make_scene(20)
        inject = f"inject={call}:error=EIO:when={number}+"
        worker = scene.worker("strace", "-f", "-qq", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
        worker.communicate(timeout=60)
        with scene.open() as ledger:
            accepted = scene.recorder.accepted(ledger)
            marked = {one.message_id for one in ledger.messages() if one.state in ("sending", "sent", "unknown")}
        assert set(accepted) <= marked, "no mail without its mark on the disk"
        scene.resume()
        figures(f"EIO from {call} on", runs=1, ends=scene.judge())
        scene.close()


@pytest.mark.slow
class TestPostgreSQL:
    """A server that cuts connections, or dies and comes back, under load. No worker dies of it, so nothing is even in doubt."""

    @pytest.fixture
    def database(self) -> str:
        return "postgresql"

    @pytest.fixture
    def server(self) -> Iterator[PostgreSQL]:
        """One of this test's own: others go on with theirs."""
        with running_or_skipped() as server:
            yield server

    @pytest.fixture
    def postgresql_url(self, server: PostgreSQL) -> str:
        return server.url()

    @pytest.mark.parametrize("ends", [PostgreSQL.kill, PostgreSQL.stop_immediately])
    def test_a_server_that_dies_under_four_workers_and_comes_back_loses_nothing_and_repeats_nothing(
        self,
        make_scene: MakeScene,
        server: PostgreSQL,
        ends: Callable[[PostgreSQL], None],
        is_long: bool,
        figures: Figures,
    ) -> None:
        """It is away for longer than a lease at times, so that workers give each other up, and are put right by the late word."""
        name = {"kill": "killed with its children", "stop_immediately": "stopped at once (-m immediate)"}[ends.__name__]
        count, deaths = (5000, 20) if is_long else (600, 3)
        for _ in range(5 if is_long else 1):
            scene = make_scene(count)
            workers = scene.at_once(4)
            for death in range(deaths):
                scene.await_mails(count * death // deaths + 1)
                time.sleep(random.uniform(0, 0.1))
                ends(server)
                time.sleep(random.uniform(0, 2 * LEASE_SECONDS))
                server.start()
            for worker in workers:
                answer_of(worker)
            states = scene.judge(lost_for_now=["approved"])
            assert states.keys() <= {"sent", "approved"}, "they lent each other no doubt"
            # A worker that was away too long had to give its group back, without a byte of it.
            with scene.open() as ledger:
                given_back = ledger.messages(("approved",))
            assert all(one.attempts for one in given_back), "what nobody had begun, the others would have sent"
            assert len(given_back) < count / 2, "they went on by themselves; these are tried again in a minute"
            figures(f"PostgreSQL {name} and started again, four workers", runs=1, deaths=deaths, ends=states)

    def test_cut_connections_lose_nothing_and_repeat_nothing(
        self, make_scene: MakeScene, postgresql_url: str, is_long: bool, figures: Figures
    ) -> None:
        scene = make_scene(5000 if is_long else 1000)
        workers = scene.at_once(2)  # one that is only opening its ledger ends with a line that says why
        with connections_cut(postgresql_url) as cuts:
            for worker in workers:
                answer_of(worker)
        assert cuts["done"] > 0
        with scene.open() as ledger:
            assert not [one for one in ledger.messages() if one.state == "unknown"], "nothing is even in doubt"
        scene.resume()
        figures("PostgreSQL cuts every connection again and again", runs=1, cuts=cuts["done"], ends=scene.judge())


@contextlib.contextmanager
def connections_cut(server: str) -> Iterator[Counter[str]]:
    """The server ends every connection to the ledgers again and again, as it does when it is restarted."""
    done: Counter[str] = Counter()
    is_over = threading.Event()

    def cut() -> None:
        while not is_over.wait(0.7):
            with psycopg.connect(server, autocommit=True) as connection:
                answer = connection.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname LIKE 'faults_%'"
                ).fetchone()
                done["done"] += answer[0] if answer else 0

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield done
    finally:
        is_over.set()
        thread.join()
