"""One POST at a time over a kept connection, and exactly what is known when it fails.

A server can act on a request only when it has the whole of it. So the last byte goes out on its own, after a look whether
the server has hung up or spoken: what fails up to it was certainly not accepted, what fails after it may have been.
Nothing is retried or redirected, and no proxy is asked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Literal, cast
from urllib.parse import urlsplit

from dagster_project.adapters.channels.sockets import has_answered, is_idle, is_loopback, one_line
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Outcome

ALLOWED = "https://host[:port]/path; http:// only to this machine"
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_REPLY_BYTES = 256 * 1024  # of a body; no more is read, and then the connection is not used again
CONFLICT, TOO_MANY_REQUESTS, REQUEST_TIMEOUT = 409, 429, 408
# Refusals of whoever asks, whatever is asked: key, payment, address of the endpoint, pace. RFC 9110 §15.5, RFC 6585.
NOT_ABOUT_THIS_MESSAGE = frozenset({401, 402, 403, 404, 405, 407, 410, TOO_MANY_REQUESTS})
_PRINTABLE = re.compile(r"[!-~]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to POST. `target` is path and query; it may hold a secret, so it is never shown."""

    host: str
    port: int
    is_tls: bool
    target: str = dataclasses.field(default="/", repr=False)

    @property
    def label(self) -> str:
        return f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a connection with TLS, for writing a request, and for the whole of the reply, however it drips in.

    Giving up on the reply early makes `unknown` what could have been `sent`.
    """

    connect: float = 10
    write: float = 30
    reply: float = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What the server said. `was_whole`: it had the whole request by then. `is_complete`: the body did not break off."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    is_complete: bool
    was_whole: bool = True


class NotSentError(Exception):
    """The server never had the whole request. `is_unreachable`: there was not even a connection."""

    def __init__(self, stage: Literal["connect", "write"], detail: str) -> None:
        super().__init__(f"{stage}: {detail}")
        self.is_unreachable = stage == "connect"


class NoReplyError(Exception):
    """The server had the whole request, and what came of it nobody said."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"reply: {detail}")


def outcome_of(status: int, *, was_whole: bool = True) -> Outcome:
    """What an HTTP status says about the message. A server error may come after the message was taken: `unknown`."""
    match status // 100:
        case 2:
            return "sent" if was_whole else "unknown"
        case 3:
            return "rejected"  # nothing is sent to an address that nobody has configured
        case 4 if status == TOO_MANY_REQUESTS:
            return "deferred"
        case 4 if status in NOT_ABOUT_THIS_MESSAGE:
            return "not_sent"  # as a refused login is over SMTP: a key that was changed must not cost any message
        case 4 if status != REQUEST_TIMEOUT:
            return "rejected"
        case _:
            return "unknown" if was_whole else "not_sent"


def is_about_more(status: int) -> bool:
    """Would the next message fare no better?"""
    return status in NOT_ABOUT_THIS_MESSAGE or status // 100 not in {2, 4}  # the server's trouble, or a wrong address


def is_said_of_key(status: int, *, was_whole: bool) -> bool:
    """Does a refusal hold for an earlier request with the same key and body? Not a redirect, nor what was said before the
    whole request was there: the key may not have been looked at."""
    return was_whole and status // 100 == 4  # noqa: PLR2004 - a refusal


def read_endpoint(url: str | None, setting: str) -> Endpoint:
    """Read the URL strictly. InputError names the setting and what is wrong, never the URL: it may hold a secret."""

    def wrong(found: str) -> InputError:
        return InputError(f"{setting}: found {found}; allowed: {ALLOWED}")

    url = (url or "").strip()
    if not url:
        raise wrong("nothing")
    if not _PRINTABLE.fullmatch(url):
        raise wrong("a character that cannot stand in a URL")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong("a host or a port that cannot be read") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise wrong("another scheme")
    if not parts.hostname:
        raise wrong("no host")
    if "@" in parts.netloc:
        raise wrong("a user or password in it")
    if parts.fragment:
        raise wrong("a fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise wrong("http:// to another machine, where everybody on the way could read along")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.scheme == "https", target)


class Poster:
    """At most one connection to one server, kept between requests and replaced when it was lost between two."""

    def __init__(
        self, endpoint: Endpoint, *, tls: ssl.SSLContext | None = None, timeouts: Timeouts | None = None
    ) -> None:
        self._endpoint = endpoint
        self._tls = (tls or ssl.create_default_context()) if endpoint.is_tls else None
        self._timeouts = timeouts or Timeouts()
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect, unless connected. Raises NotSentError."""
        if self._socket is None:
            self._socket = self._connect()

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket = None

    def post(self, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request and read its reply. Host, Content-Length and Accept-Encoding are added; `body` is not empty.

        Raises NotSentError and NoReplyError, and ValueError for a header of more than one line.
        """
        head = self._head(target, headers, len(body))
        try:
            reply, is_kept = self._finish(self._begin(head), body)
        except BaseException:  # also when interrupted in the middle: the connection must not carry another message
            self.close()
            raise
        if not is_kept:
            self.close()
        return reply

    def _head(self, target: str, headers: Mapping[str, str], length: int) -> bytes:
        endpoint = self._endpoint
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        is_usual = endpoint.port == DEFAULT_PORTS["https" if endpoint.is_tls else "http"]
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {host}" if is_usual else f"Host: {host}:{endpoint.port}",
            *[f"{name}: {value}" for name, value in headers.items()],
            f"Content-Length: {length}",
            "Accept-Encoding: identity",
        ]
        if length == 0 or " " in target or any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a request without a body, or a header that is more than one line")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _begin(self, head: bytes) -> socket.socket:
        """A connection with the head written to it. A kept one may be dead: nothing of the body is with the server yet,
        so a new one is safe."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                if is_idle(self._socket):
                    self._write(self._socket, head)
                    return self._socket
            self.close()
        self._socket = self._connect()
        try:
            self._write(self._socket, head)
        except OSError as error:
            raise NotSentError("write", one_line(error)) from None
        return self._socket

    def _finish(self, sock: socket.socket, body: bytes) -> tuple[Reply, bool]:
        """The body, the last byte on its own, the reply; and whether the connection is still of use."""
        trouble, is_ready = "the server hung up before the request was whole", False
        try:
            self._write(sock, memoryview(body)[:-1])
            is_ready = True
            has_early_reply = has_answered(sock)
        except OSError as error:
            trouble, has_early_reply = one_line(error), True  # it may have said why before it hung up
        if has_early_reply:
            return self._early_reply(sock, body if is_ready else None, trouble), False
        try:
            self._write(sock, memoryview(body)[-1:])
        except OSError as error:
            raise NotSentError("write", one_line(error)) from None
        return self._read(sock)

    def _early_reply(self, sock: socket.socket, body: bytes | None, trouble: str) -> Reply:
        """What the server said before it had everything. `body` is None when it broke off in the middle.

        A refusal is final. To "accepted" the rest is due, or the server would wait for it and accept nothing.
        """
        try:
            reply, _ = self._read(sock)
        except NoReplyError:
            raise NotSentError("write", trouble) from None
        was_whole = False
        if body is not None and outcome_of(reply.status) == "sent":
            with contextlib.suppress(OSError):
                self._write(sock, memoryview(body)[-1:])
                was_whole = True
        return dataclasses.replace(reply, was_whole=was_whole)

    def _write(self, sock: socket.socket, content: bytes | memoryview) -> None:
        sock.settimeout(self._timeouts.write)
        sock.sendall(content)

    def _read(self, sock: socket.socket) -> tuple[Reply, bool]:
        """The reply, and whether nothing is left on the connection. The status is the verdict, whatever follows it."""
        response = http.client.HTTPResponse(cast(socket.socket, _Deadline(sock, self._timeouts.reply)), method="POST")
        try:
            response.begin()
        except (OSError, http.client.HTTPException) as error:
            raise NoReplyError(one_line(error)) from None
        body, is_complete = b"", False
        try:
            while len(body) < MAX_REPLY_BYTES and (piece := response.read(MAX_REPLY_BYTES - len(body))):
                body += piece
            is_complete = response.isclosed() and not response.length  # an early end closes it too, with bytes to come
        except http.client.IncompleteRead as error:
            body += error.partial
        except (OSError, http.client.HTTPException):
            pass
        response.close()
        if response.status < 200:  # noqa: PLR2004 - "wait", and then nothing that this code waits for
            raise NoReplyError(f"{response.status} is no verdict")
        reply = Reply(response.status, response.reason, dict(response.headers.items()), body, is_complete)
        return reply, is_complete and not response.will_close

    def _connect(self) -> socket.socket:
        endpoint = self._endpoint
        sock = None
        try:
            sock = socket.create_connection((endpoint.host, endpoint.port), timeout=self._timeouts.connect)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the last byte is a write of its own
            return self._tls.wrap_socket(sock, server_hostname=endpoint.host) if self._tls else sock
        except (OSError, UnicodeError) as error:
            if sock is not None:
                sock.close()
            what = "no trusted TLS with" if isinstance(error, ssl.SSLError) else "no server answers at"
            raise NotSentError("connect", f"{what} {endpoint.label} ({one_line(error)})") from None


class _Deadline(io.RawIOBase):
    """Reads a connection until a deadline for all reads together: a server that drips bytes must not hold a worker."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        super().__init__()
        self._sock = sock
        self._end = time.monotonic() + seconds

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - as called
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)
