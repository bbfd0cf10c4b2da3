"""Real HTTP servers on loopback: one of the standard library that behaves, one on bare sockets that does as told, and one whose
handlers a test writes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import ipaddress
import itertools
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_httpserver import HTTPServer

from dagster_project.adapters.channels.http_post import Timeouts
from dagster_project.adapters.clock import utc_now

PATIENCE = Timeouts(connect=1, write=0.2, reply=0.3)
MORE_THAN_BUFFERS_HOLD = 8_000_000  # bytes; no kernel takes so much from a client whose server does not read


@dataclasses.dataclass(frozen=True)
class Request:
    """One request that arrived whole. Names of headers are in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    """One reply as bytes, with its length."""
    lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


YES = reply(200, b'{"id": "r-1"}')


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


@contextlib.contextmanager
def behaving(status: int = 200, body: bytes = b'{"id": "r-1"}') -> Iterator[tuple[str, list[Request], set[Any]]]:
    """The standard library's server, keeping connections: (URL, the requests, the clients' sockets)."""
    requests: list[Request] = []
    peers: set[Any] = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: else each reply waits 40 ms for an acknowledgement

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append(Request(self.path, headers, content))
            peers.add(self.client_address)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?to=us", requests, peers
    finally:
        server.shutdown()
        server.server_close()


class PromptServer(HTTPServer):
    """pytest-httpserver's, which looks every 10 ms whether it shall stop, and not every half second."""

    def thread_target(self) -> None:
        assert self.server is not None
        self.server.serve_forever(poll_interval=0.01)


class Scripted:
    """A server that makes trouble at one stage, any number of times, and behaves at all others.

    `stage`: "connect", "head" (the body not read), "body" (the first byte of it read) or "reply". `trouble`: bytes to say,
    "drop" (close), "reset", "hang", "half" (a status line), or "slices" (the good reply byte by byte). A callable is asked
    for each request.
    """

    def __init__(
        self,
        stage: str = "none",
        trouble: bytes | str = "drop",
        *,
        good: bytes | Callable[[Request], bytes | str] = YES,
        times: int = 1_000_000,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.stage, self.trouble, self.good, self.times = stage, trouble, good, times
        self.pause = 0.002  # between slices, in seconds
        self.lingers = False  # after words in place of the rest, the connection stays open for a while
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        scheme = "https" if tls else "http"
        self.label = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{scheme}://{self.label}/hook"
        self._released = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No new connection, and an end to those there are."""
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection, as servers do with those that are idle."""
        for connection in self._open:
            with contextlib.suppress(OSError, ValueError):  # ValueError: TLS has ended here already
                if isinstance(connection, ssl.SSLSocket):
                    connection.settimeout(0.2)
                    connection.unwrap()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._welcome, args=(connection,), daemon=True).start()

    def _welcome(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            with connection:
                while self._one_request(connection):
                    pass
            self._open.remove(connection)

    def _one_request(self, connection: socket.socket) -> bool:
        """Read and answer one. False when the connection is to end."""
        lines = connection.makefile("rb")
        if not self._pass(connection, "connect"):
            return False
        head: list[str] = []
        while (line := lines.readline()) not in {b"\r\n", b""}:
            head.append(line.decode().rstrip())
        if not line or not self._pass(connection, "head"):
            return False
        headers = {name.lower(): value.strip() for name, _, value in (entry.partition(":") for entry in head[1:])}
        length = int(headers["content-length"])
        body = lines.read(1)
        if not self._pass(connection, "body"):
            return False
        body += lines.read(length - 1)
        if len(body) < length:
            return False
        request = Request(head[0].split(" ")[1], headers, body)
        self.requests.append(request)
        if not self._pass(connection, "reply"):
            return False
        answer = self.good(request) if callable(self.good) else self.good
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return True
        self._make_trouble(connection, answer)
        return False

    def _pass(self, connection: socket.socket, stage: str) -> bool:
        """Make the trouble of this stage, if it is its turn. False when it ended the connection."""
        if stage != self.stage or self.times <= 0:
            return True
        self.times -= 1
        self._make_trouble(connection, self.trouble)
        return False

    def _make_trouble(self, connection: socket.socket, trouble: bytes | str) -> None:
        if trouble == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif trouble == "hang":
            self._released.wait(5)
        elif trouble == "half":
            connection.sendall(b"HTTP/1.1 20")
        elif trouble == "slices":
            for byte in self.good if isinstance(self.good, bytes) else b"":
                connection.sendall(bytes([byte]))
                time.sleep(self.pause)
        elif isinstance(trouble, bytes):
            connection.sendall(trouble)
            if self.lingers:
                self._released.wait(0.3)
            elif self.stage != "reply":  # what the client still sends would turn the end into a reset
                connection.shutdown(socket.SHUT_WR)
                self._released.wait(0.3)


class Forgetful:
    """What a server does that takes messages and loses many an answer. `remembers`: it acts once per key.

    Called for each request, as `Scripted.good`. `answer` is what it says when it says anything; `again` to a known key. `lost` are the
    shares of requests that are lost before it acts, and of answers that are lost after it, each by one of the `troubles`.
    """

    def __init__(
        self,
        key_of: Callable[[Request], str],
        answer: Callable[[str], bytes],
        *,
        again: Callable[[str], bytes] | None = None,
        remembers: bool = True,
        lost: tuple[float, float] = (0.2, 0.7),
        seed: int = 7,
        troubles: Sequence[bytes | str] = ("drop", reply(500), "half", reply(503), "reset"),
    ) -> None:
        self.acted: Counter[str] = Counter()
        self.ambiguous = 0
        self.bodies: dict[str, set[bytes]] = defaultdict(set)  # key → what came under it: more than one is refused
        self._key_of, self._answer, self._again, self._remembers = key_of, answer, again or answer, remembers
        self._chance = random.Random(seed)
        self.lost, self._troubles = lost, itertools.cycle(troubles)
        self._alone = threading.Lock()

    def __call__(self, request: Request) -> bytes | str:
        with self._alone:
            return self._handle(request)

    def _handle(self, request: Request) -> bytes | str:
        key = self._key_of(request)
        self.bodies[key].add(hashlib.sha256(request.body).digest())
        before, after = self.lost
        is_lost_before, is_lost_after = self._chance.random() < before, self._chance.random() < after
        is_known = self._remembers and key in self.acted
        if not is_lost_before and not is_known:
            self.acted[key] += 1
        if is_lost_before or is_lost_after:
            self.ambiguous += 1
            return next(self._troubles)
        return self._again(key) if is_known else self._answer(key)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's context, a client's context that trusts it); the certificate is made for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))
