"""A worker killed at any moment: at every system call that writes, syncs or sends, and at random."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from dagster_project.ledger.database import sqlite

from .conftest import Scene, answer_of

MakeScene = Callable[..., Scene]
Figures = Callable[..., None]
CALLS = "write,pwrite64,fdatasync,fsync,sendto"
MESSAGES = 20
IN_FLIGHT = 2  # of one worker: a mail, and the one announced behind it
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace (Debian: strace) is not installed")
pytestmark = pytest.mark.slow


def points_of(worker: Callable[..., subprocess.Popen[str]], trace: Path) -> list[tuple[str, int]]:
    """Every such call of one whole run, from the first word to the server on: its name, and which of that name it is."""
    answer_of(worker("strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace)))
    made: Counter[str] = Counter()
    points = []
    for line in trace.read_text().splitlines():
        found = re.search(rf"\b({CALLS.replace(',', '|')})\(", line)
        if found:
            made[found[1]] += 1
            points.append((found[1], made[found[1]]))
    first = points.index(("sendto", 1))
    return points[first:]


@needs_strace
def test_a_kill_at_any_system_call_loses_nothing_and_repeats_nothing(
    make_scene: MakeScene, tmp_path: Path, is_long: bool, figures: Figures
) -> None:
    """The short form takes a sample of the points, another one each time; the long form takes all."""
    scene = make_scene(MESSAGES)
    points = points_of(scene.worker, tmp_path / "trace")
    assert scene.judge() == {"sent": MESSAGES}
    assert {"sendto"} < {name for name, _ in points} or scene.url.startswith("postgresql")
    assert len(points) > 3 * MESSAGES, "at least the envelope, the content and the dot of each mail"

    ends: Counter[str] = Counter()
    for name, number in points if is_long else random.sample(points, 6):
        scene = make_scene(MESSAGES)
        inject = f"inject={name}:signal=KILL:when={number}"
        worker = scene.worker("strace", "-f", "-qq", "-e", f"trace={name}", "-e", inject, "-o", "/dev/null")
        worker.wait(timeout=60)
        scene.resume()
        states = scene.judge()
        assert states["unknown"] <= IN_FLIGHT, "only what was on its way can be in doubt"
        ends.update(states)
        scene.close()
    assert ends["sent"] > 0
    tried = len(points) if is_long else 6
    figures("SIGKILL at a system call that writes, syncs or sends", runs=tried, points=len(points), ends=ends)


def test_random_kills_of_four_workers_lose_nothing_and_repeat_nothing(
    make_scene: MakeScene, is_long: bool, figures: Figures
) -> None:
    ends: Counter[str] = Counter()
    runs = 500 if is_long else 2
    for _ in range(runs):
        scene = make_scene(200)
        workers = [scene.worker() for _ in range(4)]
        scene.await_first()
        for worker in random.sample(workers, random.randint(1, 4)):
            time.sleep(random.uniform(0, 0.05))
            worker.kill()
        for worker in workers:
            worker.wait(timeout=60)
        scene.resume()
        states = scene.judge()
        assert states["unknown"] <= IN_FLIGHT * len(workers)
        ends.update(states)
        scene.close()
    figures("random SIGKILL of one to four of four workers", runs=runs, ends=ends)


def test_a_terminated_worker_leaves_nothing_in_doubt(make_scene: MakeScene) -> None:
    scene = make_scene(200)
    worker = scene.worker()
    scene.await_first()
    worker.terminate()
    worker.wait(timeout=60)
    with scene.open() as ledger:
        states = Counter(message.state for message in ledger.messages())
    assert not {"claimed", "sending", "unknown"} & set(states), "what was in flight ended, the rest was given back"
    assert set(states) <= {"sent", "approved"}
    scene.judge(lost_for_now=["approved"])


def test_stopped_and_continued_past_its_lease_a_zombie_sends_nothing_of_others(
    make_scene: MakeScene, is_long: bool, figures: Figures
) -> None:
    """SIGSTOP in the middle, another worker takes over, SIGCONT: what the zombie still holds is refused by the ledger. On PostgreSQL it
    may stand in the middle of a transaction, which the server ends."""
    for _ in range(25 if is_long else 1):
        scene = make_scene(200)
        (zombie,) = scene.at_once(1)
        scene.await_mails(random.randint(1, 150))
        stop_outside_a_transaction(zombie, scene.url)
        scene.resume()
        zombie.send_signal(signal.SIGCONT)
        zombie.wait(timeout=60)
        scene.resume()
        figures("worker stopped past its lease, then continued", runs=1, ends=scene.judge())
        scene.close()


def stop_outside_a_transaction(worker: subprocess.Popen[str], url: str) -> None:
    """A process that is stopped while it writes keeps everybody else from writing until it goes on."""
    while worker.poll() is None:
        worker.send_signal(signal.SIGSTOP)
        if not _is_writing(url):
            return
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.01)


def _is_writing(url: str) -> bool:
    """Is there an open transaction? Only the worker that was stopped has one."""
    if not url.startswith("sqlite"):
        time.sleep(0.05)  # what it asked last ends without it
        with psycopg.connect(url, autocommit=True) as probe:
            others = "datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            found = probe.execute(f"SELECT 1 FROM pg_stat_activity WHERE {others} LIMIT 1").fetchone()
        return found is not None
    try:
        with contextlib.closing(sqlite.connect(url.removeprefix("sqlite:///"), timeout=0.1)) as probe:
            probe.execute("BEGIN IMMEDIATE")
    except sqlite.OperationalError:
        return True
    return False
