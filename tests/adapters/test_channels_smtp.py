"""SMTP against real servers: what is recorded, and what each kind of trouble at each stage is called."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dagster_project.adapters.channels import smtp
from dagster_project.adapters.channels.smtp import SmtpChannel, Timeouts
from dagster_project.adapters.channels.smtp_url import SmtpServer
from dagster_project.adapters.clock import utc_now
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built, build

PATIENCE = Timeouts(connect=0.8, command=0.4, final_reply=0.4, quit=0.4)


def mail(number: int = 1, text: str = "Hello\n.\n..dots\n", to_address: str = "ada@customer.example") -> Built:
    return build(
        f"message-{number}",
        sender="Ledgerline <hello@ledgerline.example>",
        to_address=to_address,
        subject="Hello",
        html="<p>Hello</p>\n",
        text=text,
        unsubscribe_url=None,
        date=datetime.fromisoformat("2026-11-21T09:00:00"),
        sending_domain="ledgerline.example",
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


class Recorder:
    """An aiosmtpd handler that keeps every envelope, and counts connections."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.peers: set[Any] = set()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        self.envelopes.append(envelope)
        self.peers.add(session.peer)
        return "250 2.0.0 Ok: queued as 4XyZ-1"


@contextlib.contextmanager
def recording(**options: Any) -> Iterator[tuple[Recorder, SmtpServer]]:
    recorder = Recorder()
    port = free_port()
    controller = Controller(recorder, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield recorder, SmtpServer("127.0.0.1", port)
    finally:
        controller.stop()


class Scripted:
    """A server that does as told at one stage, any number of times, and behaves at all others.

    `trouble` is a reply line, "drop" (close without a word), "hang" (never answer), "half" (close within a reply).
    """

    GOOD: ClassVar = {"connect": "220 ok", "ehlo": "250 ok", "data": "354 go", "quit": "221 bye"}

    def __init__(self, stage: str, trouble: str, times: int = 1_000, tls: ssl.SSLContext | None = None) -> None:
        self.stage, self.trouble, self.times = stage, trouble, times
        self.accepted: list[bytes] = []
        self.connections = 0
        self.commands: list[str] = []
        plain = socket.create_server(("127.0.0.1", 0))
        self._listener = tls.wrap_socket(plain, server_side=True) if tls else plain
        self.server = SmtpServer("127.0.0.1", self._listener.getsockname()[1])
        self._released = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._released.set()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            lines = connection.makefile("rb")
            reply = self._reply(connection, "connect")
            while reply and reply[:3] not in {"421", "221"} and (line := lines.readline()):
                stage = line[:4].decode().strip().lower()
                self.commands.append(stage)
                reply = self._reply(connection, stage)
                if reply.startswith("354"):
                    content = lines.readline()
                    while content and not content.endswith(b"\r\n.\r\n"):
                        content += lines.readline()
                    reply = self._reply(connection, "dot")
                    if reply.startswith("2"):
                        self.accepted.append(content)

    def _reply(self, connection: socket.socket, stage: str) -> str:
        """What was said; nothing when the connection is to end."""
        reply = self.GOOD.get(stage, "250 ok")
        if stage == self.stage and self.times > 0:
            self.times -= 1
            reply = self.trouble
        if reply == "hang":
            self._released.wait(5)
        if reply == "half":
            connection.sendall(b"250-and mo")
        if reply in {"drop", "hang", "half"}:
            return ""
        connection.sendall(f"{reply}\r\n".encode())
        return reply


@pytest.fixture
def scripted() -> Iterator[Any]:
    servers: list[Scripted] = []

    def start(*arguments: Any) -> Scripted:
        servers.append(Scripted(*arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_the_server_gets_exactly_the_bytes_and_the_envelope() -> None:
    """Dots at the start of a line are stuffed on the wire and arrive as they were."""
    with recording() as (recorder, server), SmtpChannel(server) as channel:
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.provider_id) == ("sent", "4XyZ-1")
    (envelope,) = recorder.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("hello@ledgerline.example", ["ada@customer.example"])
    assert envelope.original_content == mail().raw


def test_many_messages_share_one_connection() -> None:
    with recording() as (recorder, server), SmtpChannel(server) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(50)]

    assert outcomes == ["sent"] * 50
    assert len(recorder.peers) == 1
    assert [envelope.original_content for envelope in recorder.envelopes] == [mail(number).raw for number in range(50)]


TROUBLES = ["451 try later", "550 5.1.1 no such user", "421 closing", "drop", "hang", "half", "nonsense"]
BEFORE_THE_DOT = [(stage, trouble) for stage in ("mail", "rcpt", "data") for trouble in TROUBLES]


@pytest.mark.parametrize(("stage", "trouble"), BEFORE_THE_DOT)
def test_what_fails_before_the_final_dot_was_not_sent(scripted: Any, stage: str, trouble: str) -> None:
    """And says at which stage, with the server's words, so that a person can tell a typo from a blocked sender."""
    server = scripted(stage, trouble)

    with SmtpChannel(server.server, timeouts=PATIENCE) as channel:
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.is_channel_down) == ("not_sent", False)
    assert receipt.detail.startswith(f"{stage}: ")
    assert trouble[0] not in "45" or trouble in receipt.detail
    assert server.accepted == []


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        ("250 2.0.0 ok", "sent"),
        ("451 try later", "deferred"),
        ("421 closing", "deferred"),
        ("552 too big", "rejected"),
        ("drop", "unknown"),
        ("hang", "unknown"),
        ("half", "unknown"),
        ("nonsense", "unknown"),
        ("354 what", "unknown"),
    ],
)
def test_after_the_final_dot_only_a_reply_decides(scripted: Any, trouble: str, outcome: str) -> None:
    """The server may have taken the message before the line went dead: nobody can know, so nobody claims to."""
    server = scripted("dot", trouble)

    with SmtpChannel(server.server, timeouts=PATIENCE) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == outcome
    assert receipt.detail.startswith("dot: ")
    assert server.commands.count("data") == 1, "an ambiguous send is never repeated"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_with_quit_changes_nothing(scripted: Any, trouble: str) -> None:
    server = scripted("quit", trouble)

    with SmtpChannel(server.server, timeouts=PATIENCE) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == "sent"


@pytest.mark.parametrize("stage", ["connect", "ehlo"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_will_not_talk_is_told_at_the_start(scripted: Any, stage: str, trouble: str) -> None:
    server = scripted(stage, trouble)
    channel = SmtpChannel(server.server, timeouts=Timeouts(connect=0.8, command=0.8, final_reply=2, quit=0.4))

    with pytest.raises(InputError, match=f"^POSTRIDER_SMTP_URL: .*{server.server.label}") as error, channel:
        pass

    assert "\n" not in str(error.value)


def test_no_server_is_one_clear_line() -> None:
    port = free_port()

    with (
        pytest.raises(InputError, match=rf"no SMTP server answers at 127\.0\.0\.1:{port} \(connection refused\)"),
        SmtpChannel(SmtpServer("127.0.0.1", port, user="u", password="hunter2")),
    ):
        pass


@pytest.mark.parametrize("stage", ["connect", "ehlo"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_gone_in_mid_run_leaves_the_message_unsent(scripted: Any, stage: str, trouble: str) -> None:
    """The connection was fine, is lost, and no new one can be had."""
    server = scripted("mail", "drop", 1)
    with SmtpChannel(server.server, timeouts=Timeouts(connect=0.8, command=0.8, final_reply=2, quit=0.4)) as channel:
        server.stage = "none"
        assert channel.send(mail(1)).outcome == "sent"
        channel._drop()
        server.stage, server.trouble, server.times = stage, trouble, 1_000
        receipt = channel.send(mail(2))

    assert (receipt.outcome, receipt.is_channel_down) == ("not_sent", True)
    assert receipt.detail.startswith("connect: ")
    assert len(server.accepted) == 1


@pytest.mark.parametrize("trouble", ["drop", "421 too many messages", "half"])
def test_a_connection_closed_between_two_messages_is_replaced(scripted: Any, trouble: str) -> None:
    """Servers close idle and well-used connections: no message is held up for it, and none goes twice."""
    server = scripted("none", trouble, 1)
    with SmtpChannel(server.server, timeouts=PATIENCE) as channel:
        first = channel.send(mail(1))
        server.stage = "mail"
        second = channel.send(mail(2))

    assert (first.outcome, second.outcome) == ("sent", "sent")
    assert server.connections == 2
    assert len(server.accepted) == 2


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_a_refused_message_does_not_touch_the_next_one(scripted: Any, stage: str) -> None:
    server = scripted(stage, "550 no", 1)
    with SmtpChannel(server.server, timeouts=PATIENCE) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(2)]

    assert outcomes == ["not_sent", "sent"]
    assert server.connections == 1
    assert "rset" in server.commands


def test_a_reply_keeps_no_address_in_the_record(scripted: Any) -> None:
    """Details go into the ledger for ever; addresses are kept where they can be erased."""
    server = scripted("rcpt", "550 5.1.1 <ADA@customer.example>: user \x07unknown")
    with SmtpChannel(server.server, timeouts=PATIENCE) as channel:
        receipt = channel.send(mail())

    assert receipt.detail == "rcpt: 550 5.1.1 <recipient>: user ?unknown"


def test_the_envelope_is_never_parsed(scripted: Any) -> None:
    """smtplib's own calls run addresses through a parser; a strange but valid local part must arrive as it is."""
    address = "a!#$%&'*+-/^_`{|}~b@customer.example"
    with recording() as (recorder, server), SmtpChannel(server) as channel:
        receipt = channel.send(mail(to_address=address))

    assert receipt.outcome == "sent"
    assert recorder.envelopes[0].rcpt_tos == [address]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's context, a client's context that trusts it); the certificate is made for this run."""
    folder = tmp_path_factory.mktemp("tls")
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


def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"us:er", b"p@ss/word"), handled=False)


@pytest.mark.parametrize("tls", ["offered", "required"])
def test_starttls_is_used_where_it_is_offered(certificate: Any, tls: Any) -> None:
    """And the login goes over it, not before."""
    theirs, ours = certificate
    with recording(tls_context=theirs, require_starttls=True, authenticator=login, auth_required=True) as (
        recorder,
        server,
    ):
        secure = dataclasses.replace(server, tls=tls, user="us:er", password="p@ss/word")
        with SmtpChannel(secure, tls=ours) as channel:
            outcomes = [channel.send(mail(number)).outcome for number in range(3)]

    assert outcomes == ["sent"] * 3
    assert len(recorder.peers) == 1


def test_smtps_speaks_tls_from_the_first_byte(certificate: Any) -> None:
    theirs, ours = certificate
    scripted = Scripted("none", "250 ok", tls=theirs)
    try:
        with SmtpChannel(dataclasses.replace(scripted.server, tls="implicit"), tls=ours) as channel:
            outcome = channel.send(mail()).outcome
    finally:
        scripted.close()

    assert outcome == "sent"


def test_a_certificate_that_nobody_trusts_is_refused(certificate: Any) -> None:
    """Encryption to a stranger is no protection: no mail, and the line says why."""
    theirs, _ = certificate
    with (
        recording(tls_context=theirs) as (_, server),
        pytest.raises(InputError, match=r"no trusted TLS with .*self-signed certificate"),
        SmtpChannel(server),
    ):
        pass


def test_tls_that_was_offered_once_is_not_done_without_later() -> None:
    """Somebody between us and the server could strip the offer from the second connection."""
    with recording() as (recorder, server), SmtpChannel(server) as channel:
        channel._drop()
        channel._was_secured = True
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.is_channel_down) == ("not_sent", True)
    assert recorder.envelopes == []


def test_required_tls_is_not_done_without() -> None:
    with (
        recording() as (_, server),
        pytest.raises(InputError, match="offers no STARTTLS, and it is required"),
        SmtpChannel(dataclasses.replace(server, tls="required")),
    ):
        pass


def test_a_refused_login_is_said_without_the_password(certificate: Any) -> None:
    theirs, ours = certificate
    with (
        recording(tls_context=theirs, authenticator=login) as (_, server),
        pytest.raises(InputError, match=r"refused the login \(535\)") as error,
        SmtpChannel(dataclasses.replace(server, user="us:er", password="wrong-secret"), tls=ours),
    ):
        pass

    assert "wrong-secret" not in str(error.value)


def test_a_password_does_not_travel_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anywhere but on this machine, a login asks for TLS."""
    monkeypatch.setattr(smtp, "LOOPBACK", frozenset())
    with (
        recording() as (_, server),
        pytest.raises(InputError, match="offers no TLS: the password would be readable"),
        SmtpChannel(dataclasses.replace(server, user="us:er", password="p@ss/word")),
    ):
        pass
