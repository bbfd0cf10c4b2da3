"""What a worker notes while it sends, in a file of its own: after a crash only what was on its way stays in doubt.

The ledger commits a group of mails at once and their outcomes at once, so a worker that is killed leaves a whole group in
`sending`. Its note says which of them it had begun, and what the server had answered. A note survives the death of its process,
for the kernel holds what was written; it does not survive the machine's, so it counts only until the next boot. It is believed
only once its worker is dead: the worker holds a lock on it, which a process that was merely stopped still holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from dagster_project.lifecycle.message import Outcome

PATIENCE_SECONDS = 1.0  # for whoever reads or tidies away the note of a dead worker of the same name
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
Known = Literal["sent", "rejected", "not_sent"]
_KNOWN: dict[str, Known] = {"sent": "sent", "rejected": "rejected", "deferred": "not_sent", "not_sent": "not_sent"}


class Note:
    """The note of one worker. Each line is one write of some 2 µs, without a sync."""

    def __init__(self, file: int) -> None:
        self._file = file

    def begin(self, message_id: str) -> None:
        """Before the mail is handed to the channel. OSError when it can't be noted: then the mail must not go out."""
        os.write(self._file, f"{message_id}\n".encode())

    def end(self, message_id: str, outcome: Outcome) -> None:
        """As soon as the outcome is known."""
        os.write(self._file, f"{message_id} {outcome}\n".encode())


@contextlib.contextmanager
def noting(folder: Path, worker: str) -> Iterator[Note]:
    """The note of this worker; gone when it ends by itself, for the ledger knows everything by then."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _path(folder, worker)
    file = _opened(path)
    try:
        if os.fstat(file).st_size == 0:
            os.write(file, _boot_id() + b"\n")
        yield Note(file)
        path.unlink(missing_ok=True)
    finally:
        os.close(file)


def tidy(folder: Path, needed: Callable[[], Collection[str]]) -> int:
    """Delete the notes of workers that are gone, but those of the workers that `needed` then names; returns how many.

    It is asked once, and only after the locks have shown who is gone: a worker that lives may begin to send at any moment.
    """
    with contextlib.ExitStack() as stack:
        gone = []
        for path in folder.glob("*"):
            with contextlib.suppress(OSError):
                file = stack.enter_context(path.open("rb"))
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                gone.append(path)
        kept = {_path(folder, worker) for worker in needed()} if gone else set()
        unneeded = [path for path in gone if path not in kept]
        for path in unneeded:
            with contextlib.suppress(OSError):
                path.unlink()
    return len(unneeded)


def _opened(path: Path) -> int:
    """The note of a worker that starts, locked. BlockingIOError when another process keeps the lock: it has the same name.

    A worker that was killed may have left a note under this name. Whoever reads it has a lock for a moment; whoever tidies it
    away leaves a file that nobody would ever find.
    """
    given_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:
                return file
        except BlockingIOError:
            if time.monotonic() > given_up:
                os.close(file)
                raise
            time.sleep(0.01)
        os.close(file)


def what_is_known(folder: Path, doubtful: Iterable[tuple[str, str]]) -> dict[str, Known]:
    """Of (message_id, worker): what the notes of dead workers prove. What was on its way is not among it."""
    by_worker: dict[str, list[str]] = defaultdict(list)
    for message_id, worker in doubtful:
        by_worker[worker].append(message_id)
    known: dict[str, Known] = {}
    for worker, message_ids in by_worker.items():
        lines = _lines_of_the_dead(_path(folder, worker))
        if not lines or not lines[0] or lines[0] != _boot_id().decode():
            continue
        last: dict[str, str] = {}  # message_id → its last outcome, "" while it is on its way
        for line in lines[1:]:
            message_id, _, outcome = line.partition(" ")
            last[message_id] = outcome
        for message_id in message_ids:
            word = _KNOWN.get(last.get(message_id, "not_sent"))
            if word is not None:
                known[message_id] = word
    return known


def _lines_of_the_dead(path: Path) -> Sequence[str]:
    """The lines of a note, or none while its worker lives, stopped or not."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return file.read().decode().split("\n")
    except (OSError, UnicodeDecodeError):
        return ()


def _path(folder: Path, worker: str) -> Path:
    return folder / hashlib.sha256(worker.encode()).hexdigest()[:32]


def _boot_id() -> bytes:
    """Of this boot of this machine; empty where the system has none, and then no note is trusted."""
    try:
        return _BOOT_ID.read_bytes().strip()
    except OSError:
        return b""
