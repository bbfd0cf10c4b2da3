"""The home folder on its disk: made, held by one tick at a time, and never full without saying so."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dagster_project.lifecycle.errors import InputError

LEAST_FREE_BYTES = 1024 * 1024  # less than the smallest tick writes


def prepare(path: Path) -> None:
    """Make the home folder; InputError when it can't be written."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"POSTRIDER_HOME {path}: {error.strerror}; allowed is a folder that this user can write"
        ) from error


@contextlib.contextmanager
def minding_the_disk(path: Path) -> Iterator[None]:
    """InputError in place of whatever fails while this disk is full: each library says it in words of its own, and
    Dagster's store of runs only "disk I/O error"."""
    try:
        yield
    except Exception as error:
        if shutil.disk_usage(path).free < LEAST_FREE_BYTES:
            raise InputError(f"POSTRIDER_HOME {path}: no space left on the disk") from error
        raise


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold this home for one tick: a second scheduler that fires at once is refused, it doesn't wait."""
    prepare(path)
    with (path / "tick.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise InputError(
                f"{path}: a tick is running (process {lock.read().strip() or 'unknown'}); one at a time"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
