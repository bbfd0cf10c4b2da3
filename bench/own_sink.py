"""A sink of our own: it counts what it takes, and refuses some of it.

    python -m bench.own_sink [--refuse-every N] [--refuse-at rcpt|dot] [--address ADDRESS]

prints its port and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket

from bench.servers import BACKLOG, LOOPBACK, START_SECONDS, Ours, serve

_MESSAGE_ID = re.compile(rb"^Message-ID: *(<[^>\r\n]+>)", re.MULTILINE | re.IGNORECASE)


class OwnSink(Ours):
    """A sink that counts, and answers every so-many-th message with 451. 0: none."""

    def __init__(self, refuse_every: int = 0, refuse_at: str = "rcpt", address: str = LOOPBACK) -> None:
        super().__init__(
            "bench.own_sink", "--refuse-every", str(refuse_every), "--refuse-at", refuse_at, "--address", address
        )
        self._address = address

    def counts(self) -> dict[str, int]:
        """`accepted` messages, `distinct` Message-IDs among them, `refused` by 451."""
        with socket.create_connection((self._address, self.port), timeout=START_SECONDS) as asked:
            lines = asked.makefile("rb")
            lines.readline()
            asked.sendall(b"XCOUNTS\r\n")
            return json.loads(lines.readline()[4:])


class Tally:
    """What a sink has taken, over all connections."""

    def __init__(self, refuse_every: int, refuse_at: str) -> None:
        self.refuse_every, self.refuse_at = refuse_every, refuse_at
        self.asked = self.accepted = self.refused = 0
        self.seen: set[bytes] = set()

    def is_refused(self, stage: str) -> bool:
        """Counts one message at the stage at which messages are refused."""
        if not self.refuse_every or stage != self.refuse_at:
            return False
        self.asked += 1
        is_refused = self.asked % self.refuse_every == 0
        self.refused += is_refused
        return is_refused

    def take(self, content: bytes) -> None:
        self.accepted += 1
        found = _MESSAGE_ID.search(content)
        self.seen.add(found[1] if found else b"%d" % self.accepted)

    def as_json(self) -> bytes:
        return json.dumps({"accepted": self.accepted, "distinct": len(self.seen), "refused": self.refused}).encode()


class SinkSession(asyncio.Protocol):
    """One connection to the sink. Commands may come many at once (RFC 2920)."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._buffer = bytearray()
        self._searched = 0
        self._is_content = self._has_recipient = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies: list[bytes] = []
        while (reply := self._content() if self._is_content else self._command()) is not None:
            replies.append(reply)
        if replies:
            self._transport.write(b"".join(replies))

    def _command(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        word = bytes(self._buffer[:4]).upper()
        del self._buffer[: end + 1]
        match word:
            case b"EHLO":
                return b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 33554432\r\n250 8BITMIME\r\n"
            case b"MAIL" | b"RSET":
                self._has_recipient = False
                return b"250 2.0.0 ok\r\n"
            case b"RCPT":
                if self._tally.is_refused("rcpt"):
                    return b"451 4.3.0 later\r\n"
                self._has_recipient = True
                return b"250 2.1.5 ok\r\n"
            case b"DATA":
                self._is_content, self._searched = self._has_recipient, 0
                return b"354 go on\r\n" if self._has_recipient else b"503 5.5.1 no valid recipient\r\n"
            case b"QUIT":
                self._transport.write(b"221 2.0.0 bye\r\n")
                self._transport.close()
                return None
            case b"XCOU":
                return b"250 %s\r\n" % self._tally.as_json()
            case _:
                return b"250 2.0.0 ok\r\n" if word in (b"HELO", b"NOOP") else b"500 5.5.2 what\r\n"

    def _content(self) -> bytes | None:
        if self._buffer.startswith(b".\r\n"):
            end, length = 0, 3
        else:
            end, length = self._buffer.find(b"\r\n.\r\n", max(0, self._searched - 4)), 5
        if end < 0:
            self._searched = len(self._buffer)
            return None
        content = bytes(self._buffer[:end])
        del self._buffer[: end + length]
        self._is_content = self._has_recipient = False
        if self._tally.is_refused("dot"):
            return b"451 4.3.0 later\r\n"
        self._tally.take(content)
        return b"250 2.0.0 ok: queued\r\n"


async def _serve(arguments: argparse.Namespace) -> None:
    tally = Tally(arguments.refuse_every, arguments.refuse_at)
    loop = asyncio.get_running_loop()
    await serve(await loop.create_server(lambda: SinkSession(tally), arguments.address, 0, backlog=BACKLOG))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--refuse-every", type=int, default=0)
    parser.add_argument("--refuse-at", choices=("rcpt", "dot"), default="rcpt")
    parser.add_argument("--address", default=LOOPBACK)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
