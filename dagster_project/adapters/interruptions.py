"""What interrupts a worker from outside: a signal or a lost parent asks for the end, a lost database for patience."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

from dagster_project.lifecycle.errors import LostConnectionError

PATIENCE_SECONDS = 120.0  # for a database that restarts
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0

T = TypeVar("T")


def patiently(ask: Callable[[], T]) -> T:
    """Ask again while the database is away, for two minutes at most."""
    given_up, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
    while True:
        try:
            return ask()
        except LostConnectionError:
            if time.monotonic() + pause > given_up:
                raise
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


@contextlib.contextmanager
def stop_requests(is_orphaned: Callable[[], bool]) -> Iterator[Callable[[], str]]:
    """Yields a question: what has asked for the end? A signal's name, `orphaned`, or "". Handlers are put back on leaving.

    Only the main thread gets signals; elsewhere the answer never is one and whoever owns the thread decides.
    """
    asked: list[signal.Signals] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signal.Signals(number))

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0].name if asked else "orphaned" if is_orphaned() else ""
    finally:
        for number, previous in before.items():
            signal.signal(number, previous if previous is not None else signal.SIG_DFL)
