"""An SMTP server in a process of its own that writes down what it accepts before it says so, and can be hurt on purpose.

    python recorder.py --record FILE [--fault STAGE:KIND[:NTH]] …

Prints its port. STAGE is connect, ehlo, mail, rcpt, data, dot or quit; KIND is 4xx, 5xx, 421, drop, hang, garbage, and for dot also
lost: accepted and written down, and then the line goes dead. NTH counts commands of that stage over all connections; without it
every one is hurt. Each accepted message is one line: Message-ID, recipient, SHA-256 of its bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Literal

REPLIES = {
    "connect": b"220 recorder ESMTP",
    "mail": b"250 ok",
    "rcpt": b"250 ok",
    "data": b"354 go on",
    "quit": b"221 bye",
}
MESSAGE_ID = re.compile(rb"^Message-ID: (<[^>]+>)", re.MULTILINE)


class Recorder:
    """One server; its faults and its record."""

    def __init__(self, record: str, faults: list[str], *, is_pipelining: bool) -> None:
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._faults = [[*fault.split(":"), ""][:3] for fault in faults]
        self._seen: Counter[str] = Counter()
        offered = b"250-PIPELINING\r\n" if is_pipelining else b""
        self._hello = b"250-recorder\r\n" + offered + b"250-8BITMIME\r\n250 SIZE 33554432"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await self._answer(writer, "connect") == "end":
            return
        recipient = b""
        while line := await reader.readline():
            word = line[:4].upper()
            stage = {b"EHLO": "ehlo", b"MAIL": "mail", b"RCPT": "rcpt", b"DATA": "data", b"QUIT": "quit"}.get(word)
            if stage is None:
                writer.write(b"250 ok\r\n" if word in (b"RSET", b"NOOP") else b"500 what\r\n")
                continue
            if stage == "rcpt":
                recipient = line[line.index(b"<") + 1 : line.index(b">")]
            answer = await self._answer(writer, stage)
            if answer == "end" or stage == "quit":
                return
            if stage == "data" and answer == "go":
                content = await reader.readuntil(b"\r\n.\r\n")
                raw = content[:-3].replace(b"\r\n..", b"\r\n.")
                raw = raw[1:] if raw.startswith(b"..") else raw
                accept = functools.partial(self._write_down, recipient, raw)
                if await self._answer(writer, "dot", accept) == "end":
                    return

    def _write_down(self, recipient: bytes, raw: bytes) -> None:
        found = MESSAGE_ID.search(raw)
        line = b"%s %s %s\n" % (found[1] if found else b"-", recipient, hashlib.sha256(raw).hexdigest().encode())
        os.write(self._record, line)

    async def _answer(
        self, writer: asyncio.StreamWriter, stage: str, accept: Callable[[], None] = lambda: None
    ) -> Literal["go", "refused", "end"]:
        """Reply, or hurt."""
        self._seen[stage] += 1
        kind = next((kind for at, kind, nth in self._faults if at == stage and nth in ("", str(self._seen[stage]))), "")
        match kind:
            case "":
                accept()
                reply = self._hello if stage == "ehlo" else REPLIES.get(stage, b"250 2.0.0 ok: queued as R1")
                writer.write(reply + b"\r\n")
                return "go"
            case "4xx":
                writer.write(b"451 4.3.0 later\r\n")
            case "5xx":
                writer.write(b"554 5.7.1 never\r\n")
            case "421":
                writer.write(b"421 4.3.2 closing\r\n")
                await writer.drain()
                return "end"
            case "garbage":
                writer.write(b"\x00\xff nonsense\r\n")
            case "hang":
                await asyncio.sleep(3600)
            case "lost":
                accept()
                return "end"
            case _:
                return "end"
        return "refused"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", required=True)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    recorder = Recorder(asked.record, asked.fault, is_pipelining=not asked.no_pipelining)
    server = await asyncio.start_server(recorder.serve, asked.host, asked.port, limit=64 * 1024 * 1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - how its parent learns it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
