"""A worker that puts into the in-app inbox, killed at any system call: nothing is ever in doubt."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.adapters import delivering
from dagster_project.adapters.channels.in_app import InAppChannel
from dagster_project.adapters.clock import utc_now
from dagster_project.lifecycle.worker import IN_APP

from .conftest import HERE, LEASE_SECONDS, LETTERHEAD, Scene, answer_of
from .test_kill import CALLS, Figures, needs_strace

pytestmark = pytest.mark.slow

MESSAGES = 20


def worker(scene: Scene, *wrapped_in: str) -> subprocess.Popen[str]:
    command = [
        *wrapped_in,
        sys.executable,
        str(HERE / "worker.py"),
        scene.url,
        IN_APP,
        str(LEASE_SECONDS),
        str(scene.notes),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def points_of(scene: Scene, trace: Path) -> list[tuple[str, int]]:
    """Every such call of one whole run, from the first note of a message on: its name, and which of that name it is."""
    answer_of(worker(scene, "strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace)))
    made: Counter[str] = Counter()
    points: list[tuple[str, int]] = []
    is_putting = False
    for line in trace.read_text().splitlines():
        found = re.search(rf"\b({CALLS.replace(',', '|')})\(", line)
        if found:
            made[found[1]] += 1
            is_putting = is_putting or '"m00' in line
            if is_putting:
                points.append((found[1], made[found[1]]))
    return points


def resume(scene: Scene) -> None:
    """What the next worker does by itself once the leases are over."""
    time.sleep(LEASE_SECONDS + 0.05)
    with scene.open() as ledger, InAppChannel(ledger.deliver_to_inbox) as channel:
        name = f"{IN_APP}:resumed"
        delivering.deliver(ledger, channel, LETTERHEAD, worker=name, clock=utc_now, notes=scene.notes)


def judge(scene: Scene) -> Counter[str]:
    """Each message is in its inbox once, and sent; every invariant holds."""
    with scene.open() as ledger:
        shown = Counter(one.message_id for number in range(MESSAGES) for one in ledger.inbox(f"u{number}").messages)
        told = ledger.verify(dict(shown))
        states = Counter(message.state for message in ledger.messages())
    assert told["ok"], told
    assert set(shown.values()) == {1}
    assert states == {"sent": MESSAGES}
    return states


@needs_strace
def test_a_kill_while_putting_leaves_no_doubt_at_all(
    make_scene: Callable[..., Scene], tmp_path: Path, is_long: bool, figures: Figures
) -> None:
    """The short form takes a sample of the points, another one each time; the long form takes all."""
    scene = make_scene(MESSAGES)
    points = points_of(scene, tmp_path / "trace")
    judge(scene)
    assert len(points) > 3 * MESSAGES, "at least the note, the put and the note of its end"

    ends: Counter[str] = Counter()
    chosen = points if is_long else random.sample(points, 4)
    for name, number in chosen:
        scene = make_scene(MESSAGES)
        inject = f"inject={name}:signal=KILL:when={number}"
        worker(scene, "strace", "-f", "-qq", "-e", f"trace={name}", "-e", inject, "-o", "/dev/null").wait(timeout=60)
        resume(scene)
        ends += judge(scene)
        scene.recorder.__exit__()
    figures("SIGKILL of a worker that puts into the in-app inbox", runs=len(chosen), points=len(points), ends=ends)
