"""Two schedulers fire at once on one ledger: what both of them decided is one message, and goes out once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .conftest import Scene

MakeScene = Callable[..., Scene]
Figures = Callable[..., None]
Scheduler = subprocess.Popen[str]
MESSAGES = 30
pytestmark = pytest.mark.slow


@pytest.fixture
def schedulers() -> Iterator[list[Scheduler]]:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.scheduler", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )
        for name in ("one", "two")
    ]
    yield running
    for process in running:
        process.communicate(timeout=60)


def test_two_schedulers_that_fire_at_once_mail_everybody_once(
    make_scene: MakeScene, schedulers: list[Scheduler], is_long: bool, figures: Figures
) -> None:
    """One may find the other in the middle of its work, and stops: then the next tick ends what was begun."""
    stopped: Counter[str] = Counter()
    for _ in range(250 if is_long else 5):
        scene = make_scene(MESSAGES, is_released=False)
        told = fire(schedulers, scene)
        stopped.update("stopped" if one["stopped_by"] else "done" for one in told)
        told += fire(schedulers[:1], scene)
        states = scene.judge()
        assert states == {"sent": MESSAGES}
        assert sum(one["sent"] for one in told) == MESSAGES
        assert told[-1]["stopped_by"] is None, "nobody was in its way"
        figures("two schedulers fire at once", runs=1, ends=states)
        scene.close()
    assert stopped["done"] > 0


def fire(schedulers: Sequence[Scheduler], scene: Scene) -> list[dict[str, Any]]:
    """All at once; what each of them told."""
    for process in schedulers:
        assert process.stdin is not None
        process.stdin.write(f"{scene.url} {scene.recorder.host}:{scene.recorder.port} {scene.count}\n")
        process.stdin.flush()
    told = []
    for process in schedulers:
        assert process.stdout is not None
        told.append(json.loads(process.stdout.readline()))
    return told
