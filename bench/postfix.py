"""What the mails are sent to: Debian's smtp-sink, a sink of our own that counts and refuses, a way that takes its time.

    python -m bench.sinks sink [--refuse-every N] [--refuse-at rcpt|dot]
    python -m bench.sinks way --to PORT --rtt-ms 20 [--certificate PEM]

Each prints its port and serves until it is ended. They are processes of their own, so that nothing they cost is charged to the sender.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import datetime as dt
import ipaddress
import json
import os
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

LOOPBACK = "127.0.0.1"
BACKLOG = 512
START_SECONDS, STOP_SECONDS = 20.0, 5.0
SOURCE_SESSIONS = 16
TOOLS = ("smtp-sink", "smtp-source")
_MESSAGE_ID = re.compile(rb"^Message-ID: *(<[^>\r\n]+>)", re.MULTILINE | re.IGNORECASE)
_NOT_FOUND = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)


class MissingError(RuntimeError):
    """A tool is neither here nor to be had. One line."""


# --- Debian's tools ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Postfix:
    """The two tools, how they were come by, and the environment in which they find their libraries."""

    sink: str
    source: str
    version: str
    environment: Mapping[str, str]
    origin: str  # installed, or unpacked for this run


def find_postfix(folder: Path) -> Postfix:
    """Those on PATH or in /usr/sbin, else those of Debian's package, unpacked into `folder` and not installed."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = [shutil.which(tool, path=search) for tool in TOOLS]
    if found[0] and found[1]:
        version = _told(["dpkg-query", "--show", "--showformat=${Version}", "postfix"]) or "unknown"
        return Postfix(found[0], found[1], version, dict(os.environ), "installed")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingError("smtp-sink and smtp-source: found neither them nor apt-get; allowed: the package postfix")
    return _unpacked(folder)


def _unpacked(folder: Path) -> Postfix:
    tree = folder / "tree"
    (archive,) = _fetched(folder, "postfix")
    _unpack(archive, tree)
    sink, source = (tree / "usr/sbin" / tool for tool in TOOLS)
    environment = dict(os.environ) | {"LD_LIBRARY_PATH": _library_folders(tree)}
    if _missing_libraries(sink, environment):
        depends = _told(["dpkg-deb", "--field", str(archive), "Depends"]) or ""
        names = [entry.split("|")[0].split("(")[0].strip() for entry in depends.split(",")]
        for name in names:
            if name.startswith("lib") and not name.startswith("libc6"):
                for library in _fetched(folder, name):
                    _unpack(library, tree)
        environment["LD_LIBRARY_PATH"] = _library_folders(tree)
    if missing := _missing_libraries(sink, environment):
        raise MissingError(f"smtp-sink: found no {', '.join(missing)}; allowed: the package postfix, installed")
    return Postfix(
        str(sink), str(source), _told(["dpkg-deb", "--field", str(archive), "Version"]) or "?", environment, "unpacked"
    )


def _fetched(folder: Path, package: str) -> list[Path]:
    """The package's file; nothing is installed. MissingError when apt-get cannot have it."""
    got = subprocess.run(
        ["apt-get", "download", "--quiet", package], cwd=folder, capture_output=True, text=True, check=False
    )
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if got.returncode or not archives:
        reason = next(
            (line for line in got.stderr.splitlines() if line.startswith("E:")), f"exit code {got.returncode}"
        )
        raise MissingError(f"smtp-sink and smtp-source: not installed, and apt-get download {package} says: {reason}")
    return archives[-1:]


def _unpack(archive: Path, tree: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", str(archive), str(tree)], check=True, capture_output=True)


def _library_folders(tree: Path) -> str:
    return os.pathsep.join(sorted({str(path.parent) for path in tree.rglob("*.so*")}))


def _missing_libraries(program: Path, environment: Mapping[str, str]) -> list[str]:
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False, env=dict(environment))
    return _NOT_FOUND.findall(told.stdout)


def _told(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


class Server:
    """A running server: where it listens, and what it has cost so far."""

    def __init__(self, port: int, process: subprocess.Popen[Any]) -> None:
        self.port, self.process = port, process

    def cpu_seconds(self) -> float:
        """Processor time of the server until now. Where it nears the wall's, the server is what is measured."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def smtp_sink(postfix: Postfix) -> Iterator[Server]:
    """A running smtp-sink. It keeps nothing, counts nothing, and never pushes back."""
    user = ["-u", pwd.getpwuid(os.getuid()).pw_name] if os.getuid() == 0 else []
    port = _free_port()
    command = [postfix.sink, *user, "-h", "sink.example", f"{LOOPBACK}:{port}", str(BACKLOG)]
    process = subprocess.Popen(
        command, env=dict(postfix.environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _wait_for(port, process)
        yield Server(port, process)
    finally:
        _end(process)


def smtp_source(postfix: Postfix, port: int, messages: int, size: int) -> float:
    """Seconds for so many messages with so many octets of content over 16 connections that stay open (`-d`; without it
    every message has a connection of its own, and costs more than twice as much)."""
    command = [postfix.source, "-d", "-M", "source.example", "-f", "a@source.example", "-t", "b@customer.example"]
    command += ["-s", str(SOURCE_SESSIONS), "-l", str(size), "-m", str(messages), f"inet:{LOOPBACK}:{port}"]
    started = time.perf_counter()
    done = subprocess.run(command, env=dict(postfix.environment), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"smtp-source ended with {done.returncode}: {done.stderr.strip()[:200]}")
    return seconds


# --- what we run ourselves --------------------------------------------------------------------------------------------


class Ours(Server):
    """One of this file's servers in a process of its own, on a port of its own choosing. Used in a `with`."""

    def __init__(self, *arguments: str, address: str = LOOPBACK) -> None:
        self._address = address
        self._command = [sys.executable, "-m", "bench.sinks", *arguments, "--address", address]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parent.parent
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._command[2:4])} did not start")
        self.port = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        _end(self.process)

    def counts(self) -> dict[str, int]:
        """Of a sink: `accepted` messages, `distinct` Message-IDs among them, `refused` by 451."""
        with socket.create_connection((self._address, self.port), timeout=START_SECONDS) as asked:
            lines = asked.makefile("rb")
            lines.readline()
            asked.sendall(b"XCOUNTS\r\n")
            return json.loads(lines.readline()[4:])


def own_sink(refuse_every: int = 0, refuse_at: str = "rcpt", address: str = LOOPBACK) -> Ours:
    """A sink that counts, and answers every so-many-th message with 451. 0: none."""
    return Ours("sink", "--refuse-every", str(refuse_every), "--refuse-at", refuse_at, address=address)


def slow_way(to: int, rtt_ms: float, certificate: Path | None) -> Ours:
    """A way to a sink that takes so many milliseconds there and back, with STARTTLS at its end where a certificate is given."""
    tls = ["--certificate", str(certificate)] if certificate else []
    return Ours("way", "--to", str(to), "--rtt-ms", str(rtt_ms), *tls)


def make_certificate(folder: Path) -> Path:
    """Key and self-signed certificate for the loopback address in one PEM file, good for a day."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sink.example")])
    now = dt.datetime.now(dt.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only"),
        False,
    )
    usage |= {"decipher_only": False, "digital_signature": True, "key_cert_sign": True}
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "sink.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.touch(mode=0o600)
    file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as free:
        return free.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    given_up = time.monotonic() + START_SECONDS
    while time.monotonic() < given_up and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        time.sleep(0.02)
    _end(process)
    said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    raise RuntimeError(f"the sink did not start: {said[:200] or 'no answer'}")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
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


# --- the sink ---------------------------------------------------------------------------------------------------------


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


# --- the way ----------------------------------------------------------------------------------------------------------


class Pipe(asyncio.Protocol):
    """One end of a connection whose bytes go to another end, each piece `delay` seconds after it came, in order."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._early: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        early, self._early = self._early, []
        for data in early:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._later(lambda: self.other and self.other.write(data))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        self._later(lambda: self.other and self.other.close())

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _later(self, act: Callable[[], object]) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, act)
        else:
            act()


class Delay(Pipe):
    """Takes a connection, opens one to `port`, and holds what goes either way."""

    def __init__(self, port: int, delay: float) -> None:
        super().__init__(delay)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        far_end = self.other = Pipe(self._delay)
        far_end.other = self
        self._opening = asyncio.ensure_future(
            asyncio.get_running_loop().create_connection(lambda: far_end, LOOPBACK, self._port)
        )


class Terminator(Pipe):
    """Speaks SMTP until STARTTLS, and passes on what is inside."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(0)
        self._port, self._context = port, context
        self._line = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.other is None:
            self.write(b"220 way.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
            return
        assert self.transport is not None
        self._line += data
        while self._line.endswith(b"\n"):
            line, _, self._line = self._line.partition(b"\n")
            match line[:4].upper():
                case b"EHLO":
                    self.write(b"250-way.example\r\n250 STARTTLS\r\n")
                case b"STAR":
                    self.write(b"220 2.0.0 go\r\n")
                    self.transport.pause_reading()  # what comes next is not for us to read
                    self._opening = asyncio.ensure_future(self._secure())
                    return
                case b"QUIT":
                    self.write(b"221 2.0.0 bye\r\n")
                    self.close()
                case _:
                    self.write(b"530 5.7.0 STARTTLS first\r\n")

    async def _secure(self) -> None:
        """TLS with the client first, then a connection to the sink, whose greeting nobody asked for any more."""
        loop = asyncio.get_running_loop()
        assert self.transport is not None
        far_end = self.other = AfterGreeting()
        far_end.other = self
        try:
            await loop.create_connection(lambda: far_end, LOOPBACK, self._port)
            secured = await loop.start_tls(self.transport, self, self._context, server_side=True)
        except OSError:  # the client went away
            self.close()
            return
        assert isinstance(secured, asyncio.Transport)
        self.transport = secured


class AfterGreeting(Pipe):
    """The way's own connection to the sink: its first line is left out."""

    def __init__(self) -> None:
        super().__init__(0)
        self._is_greeted = False

    def data_received(self, data: bytes) -> None:
        if not self._is_greeted:
            self._is_greeted = True
            data = data.partition(b"\n")[2]
        if data:
            super().data_received(data)


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    if arguments.what == "sink":
        tally = Tally(arguments.refuse_every, arguments.refuse_at)
        server = await loop.create_server(lambda: SinkSession(tally), arguments.address, 0, backlog=BACKLOG)
    else:
        target = arguments.to
        if arguments.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(arguments.certificate)
            inner = await loop.create_server(lambda: Terminator(arguments.to, context), LOOPBACK, 0, backlog=BACKLOG)
            target = inner.sockets[0].getsockname()[1]
        delay = arguments.rtt_ms / 2000
        server = await loop.create_server(lambda: Delay(target, delay), arguments.address, 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="what", required=True)
    sink = kinds.add_parser("sink")
    sink.add_argument("--refuse-every", type=int, default=0)
    sink.add_argument("--refuse-at", choices=("rcpt", "dot"), default="rcpt")
    way = kinds.add_parser("way")
    way.add_argument("--to", type=int, required=True)
    way.add_argument("--rtt-ms", type=float, required=True)
    way.add_argument("--certificate", default="")
    for kind in (sink, way):
        kind.add_argument("--address", default=LOOPBACK)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
