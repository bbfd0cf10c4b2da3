"""Wall clocks that are wrong, or jump while a worker runs. What is promised does not rest on them: the fence is the `sending` mark, and
a lease that a wrong clock takes for over only moves work to another worker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dagster_project.adapters.clock import utc_now
from tests.released import Recorder, release

from .conftest import Scene, answer_of, go

MakeScene = Callable[..., Scene]
Figures = Callable[..., None]
GROUP = 32  # marked at once
pytestmark = pytest.mark.slow


class WallClock:
    """The clock of the processes that run under it: libfaketime answers them in the system's place, and reads the offset anew whenever
    it is asked. The monotonic clock is the system's own, as when a real clock is set."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self.jump(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, hours: float) -> None:
        """From now on it is off by so much."""
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(f"{hours * 3600:+.0f}\n")
        unfinished.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("libfaketime (Debian: faketime) is not installed")
    return WallClock(tmp_path / "clock", found[-1])


def test_clocks_that_jump_by_hours_in_mid_run_lose_nothing_and_repeat_nothing(
    make_scene: MakeScene, clock: WallClock, is_long: bool, figures: Figures
) -> None:
    """Two workers on a clock that jumps, two on the true one. Each jump ahead takes the others' leases for over: their claims are taken
    away, their sends given up for lost, and their late word puts that right."""
    for _ in range(25 if is_long else 1):
        scene = make_scene(400)
        clock.jump(0)
        jumping = [scene.worker(is_waiting=True, **clock.environment) for _ in range(2)]
        workers = go([*jumping, *(scene.worker(is_waiting=True) for _ in range(2))])
        scene.await_first()
        jumps = 0
        while any(worker.poll() is None for worker in jumping):
            clock.jump((2, 0, -2, 0)[jumps % 4])
            jumps += 1
            time.sleep(random.uniform(0, 0.2))
        assert jumps > 1, "it jumped in mid run, or this proves nothing"
        for worker in workers:
            answer_of(worker)
        scene.resume()
        states = scene.judge(lost_for_now=["approved"])
        assert states["unknown"] == 0, "nobody died, so everybody has told"
        figures("wall clock of two of four workers jumps by 2 h again and again", runs=1, jumps=jumps, ends=states)
        scene.close()


@pytest.mark.parametrize("database", ["sqlite"])
def test_what_has_expired_goes_out_late_by_no_more_than_the_clock_is_wrong(
    clock: WallClock, tmp_path: Path, figures: Figures
) -> None:
    """The release ended an hour ago. Who knows the time, or is half an hour behind, sends nothing; who is two hours behind does, until
    the clock is set right: then the group that is marked is the last."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    release(url, 500, lambda: utc_now() - timedelta(hours=7))
    with Recorder(tmp_path / "record") as recorder:
        scene = Scene(url, 500, recorder, tmp_path / "notes")
        for hours in (0, -0.5):
            clock.jump(hours)
            assert answer_of(scene.worker(**clock.environment))["sent"] == 0
        clock.jump(-2)
        (behind,) = scene.at_once(1, **clock.environment)
        scene.await_mails(50)
        clock.jump(0)
        at_the_jump = len(recorder.lines())
        answer_of(behind)

        assert len(recorder.lines()) - at_the_jump <= GROUP
        states = scene.judge(lost_for_now=["approved"])
        assert states["approved"] > 300, "it stopped in mid run"
        figures("release over, clock 2 h behind, then set right", runs=1, ends=states)


def test_workers_whose_clocks_differ_by_hours_share_one_ledger(make_scene: MakeScene, figures: Figures) -> None:
    """The one that is ahead believes every lease to be over, takes claims away and gives sends up for lost; the ledger's fence and
    the late word of those that live put it right."""
    scene = make_scene(300)
    workers = [scene.worker(WORKER_CLOCK_HOURS=hours) for hours in ("0", "2", "-2", "2")]
    for worker in workers:
        answer_of(worker)
    scene.resume()
    figures("four workers whose clocks differ by up to four hours", runs=1, ends=scene.judge(lost_for_now=["approved"]))
