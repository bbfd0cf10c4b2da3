"""What the mails are sent to runs in processes of its own, so that nothing it costs is charged to the sender."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

LOOPBACK = "127.0.0.1"
BACKLOG = 512
START_SECONDS, STOP_SECONDS = 20.0, 5.0


class Server:
    """A running server: where it listens, and what it has cost so far."""

    def __init__(self, port: int, process: subprocess.Popen[Any]) -> None:
        self.port, self.process = port, process

    def cpu_seconds(self) -> float:
        """Processor time of the server until now. Where it nears the wall's, the server is what is measured."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Ours(Server):
    """A server of ours in a process of its own, on a port of its own choosing: `python -m module`, which ends in `serve`. Used in a `with`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._command = [sys.executable, "-m", module, *arguments]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parent.parent
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} did not start")
        self.port = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)


async def serve(server: asyncio.Server) -> None:
    """Print the port, which `Ours` waits for, and serve until the process is ended."""
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """This one process, by its own number."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
