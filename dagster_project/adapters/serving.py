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
            f"--host {host} --port {port}: {_words(error)}; allowed: an address of this machine and a free port"
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
        address = f"http://[{name}]:{number}" if is_v6 else f"http://{name}:{number}"
        _Server(config, lambda: on_ready(address)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it is up: from then on a signal ends it in good order."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def _words(error: OSError) -> str:
    """Without the address, which the library repeats behind the system's words."""
    return str(error.strerror).partition(" (while ")[0]


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
