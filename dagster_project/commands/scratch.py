"""A folder for what a command makes and throws away."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A folder `postrider-<name>-…` among the temporary files, gone after the `with`.

    Also when the process is asked to end: a scheduler's SIGTERM would end it where it stands, and leave gigabytes of somebody's
    warehouse behind. In the `with` it is heard as Ctrl-C is.
    """
    is_main = threading.current_thread() is threading.main_thread()  # the only one that may take signals
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    try:
        with tempfile.TemporaryDirectory(prefix=f"postrider-{name}-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
