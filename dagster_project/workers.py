"""Workers: one process each, with its own connection to the ledger and to the way out. The ledger shares the work out.

A worker needs no other: kill any of them, or start more on other hosts, and every message still goes out at most once.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import Any

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.delivering import Counts, deliver
from dagster_project.adapters.repeating import usable
from dagster_project.home import Home, home_of
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.worker import worker_name
from dagster_project.settings import Settings

POLL_SECONDS = 1.0  # between two looks of a worker that waits for work
DOUBT_SECONDS = 30.0  # so long the last of a run wait for doubts that their keys can settle: two or three repeats
STOPPED_BY = ("SIGINT", "SIGTERM")


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What the workers of one call do. `as_of` None: the mails are dated and judged by the time at which they go out."""

    settings: Settings
    as_of: datetime | None
    source_pack: str | None = None
    run_id: str | None = None
    is_watching: bool = False  # goes on when nothing is due

    def time(self) -> datetime:
        return self.as_of or utc_now().replace(microsecond=0)


def deliver_with(workers: int, job: Job, on_progress: Callable[[Counts], None] = lambda _: None) -> Counts:
    """What so many workers did together. Signals are passed on to them; the call ends when all have ended, with the signal
    in `ended_by`. InputError of the first worker that met one; the others finish first."""
    if workers == 1:
        return _work(job, home_of(job.settings), on_progress, lambda: False)
    context = multiprocessing.get_context("spawn")  # a fork would share open connections and half-held locks
    ends, processes = [], []
    for number in range(workers):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_worker, args=(job, theirs, os.getpid()), name=f"postrider-worker-{number}")
        process.start()
        theirs.close()
        ends.append(ours)
        processes.append(process)
    with _passed_on(processes) as asked:
        told, errors = _listen(ends, on_progress)
        for process in processes:
            process.join()
    if errors:
        raise InputError(errors[0])
    lost = [f"{process.name} ended with code {process.exitcode}" for process in processes if process.exitcode]
    if lost and not asked:
        raise Refusal(f"{', '.join(lost)}; what they held is free in two minutes")
    return together(list(told.values()), asked[0] if asked else None)


def together(parts: Sequence[Counts], asked: str | None = None) -> Counts:
    """The sums; `ended_by` is the signal, else the first end that says more than `nothing_due`."""
    ends = [part.ended_by for part in parts if part.ended_by != "nothing_due"]
    return Counts(
        outcomes=dict(sum((Counter(part.outcomes) for part in parts), Counter())),
        stopped=dict(sum((Counter(part.stopped) for part in parts), Counter())),
        unbuildable=dict(sum((Counter(part.unbuildable) for part in parts), Counter())),
        ended_by=asked or next(iter(ends), "nothing_due"),
        seconds=max((part.seconds for part in parts), default=0.0),
        by_key=dict(sum((Counter(part.by_key) for part in parts), Counter())),
    )


def _work(job: Job, home: Home, tell: Callable[[Counts], None], is_orphaned: Callable[[], bool]) -> Counts:
    """One worker: until nothing is due and no doubt is settled by its key soon, or for ever."""
    done = together([])
    patience_ends = float("inf")

    def told(counts: Counts) -> None:
        tell(together([done, counts]))

    with home.ledger() as ledger:
        while True:
            as_of, began = job.time(), utc_now()
            with home.channel(as_of, ledger) as channel:
                counts = deliver(
                    ledger,
                    channel,
                    home.mailing.letterhead(as_of),
                    worker=worker_name(channel.name, job.run_id, socket.gethostname(), os.getpid()),
                    clock=utc_now,
                    source_pack=job.source_pack,
                    way=home.way,
                    notes=home.notes,
                    run_id=job.run_id,
                    on_progress=told,
                    is_orphaned=is_orphaned,
                )
                repeat_at = ledger.next_repeat(usable(channel), job.source_pack)
            done = together([done, counts])
            if counts.ended_by in ("orphaned", *STOPPED_BY):
                return done
            pause = POLL_SECONDS
            if not job.is_watching:
                patience_ends = min(patience_ends, time.monotonic() + DOUBT_SECONDS)
                # What was due and was not done has its reason: a switch, a clock, a provider that is down. A doubt that fell due in
                # the meantime has none.
                if counts.ended_by != "nothing_due" or repeat_at is None or repeat_at <= began:
                    return done
                pause = max((repeat_at - utc_now()).total_seconds(), 0.0)
                if time.monotonic() + pause > patience_ends:
                    return done
            time.sleep(pause)


def _worker(job: Job, end: multiprocessing.connection.Connection, parent: int) -> None:
    """A worker process. It tells `("counts", Counts)` as it goes and `("error", line)` when it cannot go on."""
    os.setsid()  # Ctrl-C in a terminal goes to every process of a group; the parent passes it on once
    try:
        end.send(
            (
                "counts",
                _work(
                    job, Home(job.settings), lambda counts: end.send(("counts", counts)), lambda: os.getppid() != parent
                ),
            )
        )
    except (InputError, Refusal) as error:
        end.send(("error", str(error)))
    except KeyboardInterrupt:
        pass  # everything is told and given back


def _listen(
    ends: Sequence[multiprocessing.connection.Connection], on_progress: Callable[[Counts], None]
) -> tuple[dict[int, Counts], list[str]]:
    """What each worker told last, and the errors, until all have closed their end."""
    told: dict[int, Counts] = {}
    errors: list[str] = []
    open_ends: list[Any] = list(ends)
    while open_ends:
        for end in multiprocessing.connection.wait(open_ends):
            try:
                kind, what = end.recv()  # type: ignore[union-attr]
            except EOFError:
                open_ends.remove(end)
                continue
            if kind == "error":
                errors.append(what)
            else:
                told[ends.index(end)] = what  # type: ignore[arg-type]
                on_progress(together(list(told.values())))
    return told, errors


@contextmanager
def _passed_on(processes: Sequence[Any]) -> Iterator[list[str]]:
    """Signals go to the workers, which end what is in flight; yields the names of those that came."""
    asked: list[str] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        asked.append(signal.Signals(number).name)
        for process in processes:
            if process.is_alive():
                os.kill(process.pid, number)

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
