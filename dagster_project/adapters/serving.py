"""An ASGI app on a port of this machine, until somebody ends it."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from dagster_project.lifecycle.errors import InputError

PATIENCE_SECONDS = 10  # for what is being answered when the end is asked for


def serve(app: Any, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Answer until Ctrl-C or SIGTERM; what is being answered then is answered first. Port 0 is any that is free.

    `on_ready` gets the address, once it takes connections. InputError when that can't be had.
    """
    is_v6 = ":" in host
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if is_v6 else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: {error.strerror}; allowed: an address of this machine and a free port"
        ) from None
    config = uvicorn.Config(
        app,
        log_config=None,  # what is worth a line the app logs itself
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=PATIENCE_SECONDS,
    )
    with listener, _ended_by_signals():
        name, number = listener.getsockname()[:2]
        on_ready(f"http://[{name}]:{number}" if is_v6 else f"http://{name}:{number}")
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more, for whoever started it: here that is no error."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
