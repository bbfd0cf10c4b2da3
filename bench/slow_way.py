"""A way to a sink that takes its time, with STARTTLS at its end where a certificate is given.

    python -m bench.slow_way --to PORT --rtt-ms 20 [--certificate PEM]

prints its port and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path

from bench.servers import BACKLOG, LOOPBACK, Ours, serve


class SlowWay(Ours):
    """A way to the sink at port `to` that takes so many milliseconds there and back."""

    def __init__(self, to: int, rtt_ms: float, certificate: Path | None) -> None:
        tls = ["--certificate", str(certificate)] if certificate else []
        super().__init__("bench.slow_way", "--to", str(to), "--rtt-ms", str(rtt_ms), *tls)


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
    target = arguments.to
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate)
        inner = await loop.create_server(lambda: Terminator(arguments.to, context), LOOPBACK, 0, backlog=BACKLOG)
        target = inner.sockets[0].getsockname()[1]
    delay = arguments.rtt_ms / 2000
    await serve(await loop.create_server(lambda: Delay(target, delay), LOOPBACK, 0, backlog=BACKLOG))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--rtt-ms", type=float, required=True)
    parser.add_argument("--certificate", default="")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
