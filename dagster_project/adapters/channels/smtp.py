"""SMTP over one connection for many messages, with an outcome that never claims more than is known.

Until the final dot is written nothing was accepted: whatever fails is `not_sent`, a permanent refusal of the recipient
included. From the dot on only a reply decides; without one the message is `unknown`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import select
import smtplib
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from dagster_project.adapters.channels.base import Receipt, SingleTransport
from dagster_project.adapters.channels.smtp_url import ALLOWED, SmtpServer
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built

SERVICE_CLOSING = 421
START_MAIL_INPUT = 354
MAX_DETAIL_CHARS = 200
MAX_REPLY_LINE = 8192  # octets; RFC 5321 §4.5.3.1.5 asks for 512
OUR_NAME = "[127.0.0.1]"  # said in EHLO; without one smtplib asks DNS, which can take seconds
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_QUEUED_AS = re.compile(r"queued as ([\w.-]+)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait. RFC 5321 §4.5.3.2 gives the reply to the final dot ten minutes; giving up early is `unknown`."""

    connect: float = 30
    command: float = 60
    final_reply: float = 600
    quit: float = 5


class _UnreachableError(Exception):
    """No session can be had: DNS, connect, TLS, EHLO or AUTH failed."""


class _NotSentError(Exception):
    """It went wrong before the final dot."""

    def __init__(self, stage: str, detail: str, *, is_lost: bool) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage = stage
        self.is_lost = is_lost  # the connection is of no more use


class SmtpChannel(SingleTransport):
    """One connection to one server, opened by `with` and again whenever it was lost."""

    name = "smtp"
    in_flight = 64  # committed together: nobody can ask the server afterwards, so after a crash these are in doubt

    def __init__(
        self, server: SmtpServer, *, tls: ssl.SSLContext | None = None, timeouts: Timeouts | None = None
    ) -> None:
        self._server = server
        self._tls = tls or ssl.create_default_context()
        self._timeouts = timeouts or Timeouts()
        self._session: smtplib.SMTP | None = None
        self._was_secured = False
        self._announced: Built | None = None  # its envelope went out behind the dot of the one before

    def via(self, message_id: str) -> Via:  # noqa: ARG002 - it takes no key
        return Via(f"smtp:{self._server.label}", None)

    def __enter__(self) -> Self:
        try:
            self._session = self._connect()
        except _UnreachableError as error:
            raise InputError(f"POSTRIDER_SMTP_URL: {error}; allowed: {ALLOWED}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):  # what was accepted stays accepted
                self._set_timeout(self._session, self._timeouts.quit)
                self._session.quit()
        self._drop()

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        """Where the server offers PIPELINING (RFC 2920) a mail costs one round trip: behind the dot of one goes the envelope
        of the next. What is on its way when the connection is lost is still one mail: the next one's content was not written.
        """
        waiting = iter(mails)
        self._announced = None
        built = next(waiting, None)
        while built is not None:
            receipt, following = self._try(built, waiting)
            yield built, receipt
            built = following if following is not None else next(waiting, None)

    def send(self, built: Built) -> Receipt:
        """One mail by itself."""
        ((_, receipt),) = self.transmit([built])
        return receipt

    def _try(self, built: Built, waiting: Iterator[Built]) -> tuple[Receipt, Built | None]:
        """What became of the mail, and the one that was taken to follow it, if one was."""
        was_open = self._session is not None
        try:
            try:
                self._open_transaction(built)
            except _NotSentError as failure:
                # servers close idle and well-used connections: before MAIL was answered a new one is owed
                if not (was_open and failure.stage == "mail" and failure.is_lost):
                    raise
                self._open_transaction(built)
            return self._content(built, waiting)
        except _UnreachableError as error:
            return Receipt("not_sent", f"connect: {error}"[:MAX_DETAIL_CHARS], is_channel_down=True), None
        except _NotSentError as failure:
            if failure.is_lost:
                self._drop()
            return Receipt("not_sent", str(failure)), None
        except BaseException:  # interrupted in the middle: the connection must not carry another message
            self._drop()
            raise

    def _open_transaction(self, built: Built) -> None:
        """MAIL, RCPT and DATA, answered by 354."""
        session = self._session = self._session or self._connect()
        steps = self._envelope(session, built)
        is_pipelined = session.has_extn("pipelining")
        try:
            if is_pipelined and self._announced is not built:
                self._write("mail", session, b"".join(line for _, line in steps))
            self._announced = None
            replies = []
            for stage, line in steps:
                if not is_pipelined:
                    self._write(stage, session, line)
                replies.append((stage, *self._reply(stage, session)))
                if not is_pipelined:
                    self._expect_open(replies, built)
            self._expect_open(replies, built)
        except _NotSentError as failure:
            self._clear(session, is_lost=failure.is_lost)
            raise

    def _expect_open(self, replies: Sequence[tuple[str, int, bytes]], built: Built) -> None:
        """Raise for the first refusal. Where DATA was accepted all the same, the transaction is ended by an empty message,
        which the server must refuse (RFC 2920 §3.1); should it accept even that, the connection is not trusted again."""
        refused = next((one for one in replies if not self._is_expected(one)), None)
        if refused is None:
            return
        stage, code, reply = refused
        is_lost = code == SERVICE_CLOSING or not 200 <= code < 600  # noqa: PLR2004 - a reply at all
        last_stage, last_code, _ = replies[-1]
        if last_stage == "data" and last_code == START_MAIL_INPUT and self._session is not None:
            self._write("data", self._session, b".\r\n")
            is_lost = is_lost or self._reply("data", self._session)[0] // 100 == 2  # noqa: PLR2004
        raise _NotSentError(stage, _detail(code, reply, built), is_lost=is_lost)

    @staticmethod
    def _is_expected(reply: tuple[str, int, bytes]) -> bool:
        stage, code, _ = reply
        return code == START_MAIL_INPUT if stage == "data" else code // 100 == 2  # noqa: PLR2004

    @staticmethod
    def _envelope(session: smtplib.SMTP, built: Built) -> tuple[tuple[str, bytes], ...]:
        """The commands as they are: smtplib's own mail() and rcpt() parse the address and may change it."""
        size = f" SIZE={len(built.raw)}" if session.has_extn("size") else ""
        return (
            ("mail", f"MAIL FROM:<{built.mail_from}>{size}\r\n".encode("ascii")),
            ("rcpt", f"RCPT TO:<{built.rcpt_to}>\r\n".encode("ascii")),
            ("data", b"DATA\r\n"),
        )

    def _content(self, built: Built, waiting: Iterator[Built]) -> tuple[Receipt, Built | None]:
        """All but the final dot, dot-stuffed; then, if the server has neither hung up nor spoken, the dot."""
        session = self._session
        if session is None:
            raise _NotSentError("data", "no connection", is_lost=True)
        content = built.raw.replace(b"\r\n.", b"\r\n..")
        self._write("data", session, b"." + content if content.startswith(b".") else content)
        if _has_ended(session.sock):
            raise _NotSentError("data", "connection closed before the final dot", is_lost=True)
        following = next(waiting, None) if session.has_extn("pipelining") else None
        # Built messages end in CRLF, so the dot stands on its own line.
        ending = b".\r\n"
        if following is not None:
            ending += b"".join(line for _, line in self._envelope(session, following))
        return self._finish(session, built, ending, following), following

    def _finish(self, session: smtplib.SMTP, built: Built, ending: bytes, following: Built | None) -> Receipt:
        """Write the dot and wait for the verdict."""
        try:
            self._set_timeout(session, self._timeouts.final_reply)
            self._announced = following
            session.send(ending)
            code, reply = _read_reply(session)
            self._set_timeout(session, self._timeouts.command)
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            return Receipt("unknown", f"dot: {_one_line(error)}")
        detail = f"dot: {_detail(code, reply, built)}"
        if code == SERVICE_CLOSING:
            self._drop()
        match code // 100:
            case 2:
                queued_as = _QUEUED_AS.search(detail)
                return Receipt("sent", detail, provider_id=queued_as[1] if queued_as else None)
            case 4:
                return Receipt("deferred", detail)
            case 5:
                return Receipt("rejected", detail)
            case _:
                self._drop()
                return Receipt("unknown", detail)

    def _write(self, stage: str, session: smtplib.SMTP, data: bytes) -> None:
        try:
            session.send(data)
        except (OSError, smtplib.SMTPException) as error:
            raise _NotSentError(stage, _one_line(error), is_lost=True) from None

    def _reply(self, stage: str, session: smtplib.SMTP) -> tuple[int, bytes]:
        try:
            return _read_reply(session)
        except (OSError, smtplib.SMTPException) as error:
            raise _NotSentError(stage, _one_line(error), is_lost=True) from None

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        session = None
        try:
            if server.tls == "implicit":
                session = smtplib.SMTP_SSL(
                    server.host, server.port, OUR_NAME, timeout=self._timeouts.connect, context=self._tls
                )
            else:
                session = smtplib.SMTP(server.host, server.port, OUR_NAME, timeout=self._timeouts.connect)
            self._expect(*session.ehlo(), "EHLO")
            self._secure(session)
            if server.user is not None and server.password is not None:
                session.login(server.user, server.password)
            if session.sock is not None:
                session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the dot is a write of its own
            self._set_timeout(session, self._timeouts.command)
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            if session is not None:
                session.close()
            raise _UnreachableError(_trouble(server, error)) from None
        except _UnreachableError:
            if session is not None:
                session.close()
            raise
        return session

    def _secure(self, session: smtplib.SMTP) -> None:
        server = self._server
        if server.tls in {"required", "offered"} and session.has_extn("starttls"):
            session.starttls(context=self._tls)
            self._expect(*session.ehlo(), "EHLO")
            self._was_secured = True
        elif server.tls == "required" or self._was_secured:  # what was offered once must not go missing later
            raise _UnreachableError(f"the server at {server.label} offers no STARTTLS, and it is required")
        elif server.tls != "implicit" and server.user is not None and server.host not in LOOPBACK:
            raise _UnreachableError(f"the server at {server.label} offers no TLS: the password would be readable")

    def _expect(self, code: int, reply: bytes, stage: str) -> None:
        if not 200 <= code < 300:  # noqa: PLR2004 - RFC 5321 §4.2.1: positive completion
            raise _UnreachableError(
                f"the server at {self._server.label} refused the {stage} ({_detail(code, reply, None)})"
            )

    def _clear(self, session: smtplib.SMTP, *, is_lost: bool) -> None:
        """End a transaction that failed, so that the next message starts clean."""
        if not is_lost:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                if session.rset()[0] // 100 == 2:  # noqa: PLR2004
                    return
        self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._announced = None

    @staticmethod
    def _set_timeout(session: smtplib.SMTP, seconds: float) -> None:
        if session.sock is not None:
            session.sock.settimeout(seconds)


def _read_reply(session: smtplib.SMTP) -> tuple[int, bytes]:
    """Code and words of one reply (RFC 5321 §4.2). What isn't a reply has the code -1. smtplib's own takes five times as long."""
    if session.file is None:
        if session.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        session.file = session.sock.makefile("rb")
    words = []
    while True:
        line = session.file.readline(MAX_REPLY_LINE)
        if not line:
            raise smtplib.SMTPServerDisconnected("connection unexpectedly closed")
        words.append(line[4:].strip(b" \t\r\n"))
        code = int(line[:3]) if line[:3].isdigit() and line.endswith(b"\n") else -1
        if code == -1 or line[3:4] != b"-":
            return code, b"\n".join(words)


def _has_ended(sock: socket.socket | None) -> bool:
    """Has the server closed, or spoken out of turn? Over TLS a byte may be housekeeping: only the end counts there."""
    if sock is None:
        return True
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    if not waiting.poll(0):
        return False
    seen = socket.socket.recv(sock, 1, socket.MSG_PEEK)  # beneath TLS, which cannot peek
    return not seen or not isinstance(sock, ssl.SSLSocket)


def _trouble(server: SmtpServer, error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the server at {server.label} refused the login ({error.smtp_code})"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the server at {server.label} refused the session ({error.smtp_code})"
    if isinstance(error, ssl.SSLError):
        return f"no trusted TLS with {server.label} ({_one_line(error)})"
    return f"no SMTP server answers at {server.label} ({_one_line(error)})"


def _one_line(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    text = error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else str(error)
    return " ".join(text.split())[:MAX_DETAIL_CHARS].lower() or type(error).__name__


def _detail(code: int, reply: bytes, built: Built | None) -> str:
    """Code and words of a reply in one printable line, without the recipient's address."""
    words = " ".join(reply.decode("ascii", "replace").split())
    if built is not None and built.rcpt_to.lower() in words.lower():  # a pattern per recipient takes 50 µs
        words = re.sub(re.escape(built.rcpt_to), "recipient", words, flags=re.IGNORECASE)
    printable = "".join([character if character.isprintable() else "?" for character in words])
    return f"{code} {printable}"[:MAX_DETAIL_CHARS].rstrip()
