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
from types import TracebackType
from typing import Self

from dagster_project.adapters.channels.base import Receipt
from dagster_project.adapters.channels.smtp_url import ALLOWED, SmtpServer
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built

SERVICE_CLOSING = 421
START_MAIL_INPUT = 354
MAX_DETAIL_CHARS = 200
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


class SmtpChannel:
    """One connection to one server, opened by `with` and again whenever it was lost."""

    name = "smtp"
    in_flight = 1  # nobody can ask the server afterwards, so no more than one mail may be in doubt

    def __init__(
        self, server: SmtpServer, *, tls: ssl.SSLContext | None = None, timeouts: Timeouts | None = None
    ) -> None:
        self._server = server
        self._tls = tls or ssl.create_default_context()
        self._timeouts = timeouts or Timeouts()
        self._session: smtplib.SMTP | None = None
        self._was_secured = False

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

    def send(self, built: Built) -> Receipt:
        was_open = self._session is not None
        try:
            try:
                return self._transmit(built)
            except _NotSentError as failure:
                # servers close idle and well-used connections: before MAIL was answered a new one is owed
                if not (was_open and failure.stage == "mail" and failure.is_lost):
                    raise
                return self._transmit(built)
        except _UnreachableError as error:
            return Receipt("not_sent", f"connect: {error}"[:MAX_DETAIL_CHARS], is_channel_down=True)
        except _NotSentError as failure:
            return Receipt("not_sent", str(failure))

    def _transmit(self, built: Built) -> Receipt:
        session = self._session = self._session or self._connect()
        try:
            size = f" SIZE={len(built.raw)}" if session.has_extn("size") else ""
            self._command(session, "mail", f"MAIL FROM:<{built.mail_from}>{size}", built)
            self._command(session, "rcpt", f"RCPT TO:<{built.rcpt_to}>", built)
            self._command(session, "data", "DATA", built, expected=range(START_MAIL_INPUT, START_MAIL_INPUT + 1))
            self._write_content(session, built.raw)
        except _NotSentError as failure:
            self._clear(session, is_lost=failure.is_lost)
            raise
        except BaseException:  # interrupted in the middle: the connection must not carry another message
            self._drop()
            raise
        return self._finish(session, built)

    def _command(
        self, session: smtplib.SMTP, stage: str, line: str, built: Built, expected: range = range(200, 300)
    ) -> None:
        # smtplib's own mail() and rcpt() parse the address and may change it: the envelope goes out as it is
        try:
            code, reply = session.docmd(line)
        except (OSError, smtplib.SMTPException) as error:
            raise _NotSentError(stage, _one_line(error), is_lost=True) from None
        if code not in expected:
            is_lost = code == SERVICE_CLOSING or not 200 <= code < 600  # noqa: PLR2004 - a reply at all
            raise _NotSentError(stage, _detail(code, reply, built), is_lost=is_lost)

    def _write_content(self, session: smtplib.SMTP, raw: bytes) -> None:
        """All but the final dot, dot-stuffed. Then look whether the server has hung up or spoken: so much is known."""
        content = raw.replace(b"\r\n.", b"\r\n..")
        try:
            session.send(b"." + content if content.startswith(b".") else content)
            has_ended = _has_ended(session.sock)
        except (OSError, smtplib.SMTPException) as error:
            raise _NotSentError("data", _one_line(error), is_lost=True) from None
        if has_ended:
            raise _NotSentError("data", "connection closed before the final dot", is_lost=True)

    def _finish(self, session: smtplib.SMTP, built: Built) -> Receipt:
        """Write the dot and wait for the verdict. Built messages end in CRLF, so the dot stands on its own line."""
        try:
            self._set_timeout(session, self._timeouts.final_reply)
            session.send(b".\r\n")
            code, reply = session.getreply()
            self._set_timeout(session, self._timeouts.command)
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            return Receipt("unknown", f"dot: {_one_line(error)}")
        except BaseException:
            self._drop()
            raise
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
        self._session = None

    @staticmethod
    def _set_timeout(session: smtplib.SMTP, seconds: float) -> None:
        if session.sock is not None:
            session.sock.settimeout(seconds)


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
    if built is not None:
        words = re.sub(re.escape(built.rcpt_to), "recipient", words, flags=re.IGNORECASE)
    printable = "".join([character if character.isprintable() else "?" for character in words])
    return f"{code} {printable}"[:MAX_DETAIL_CHARS].rstrip()
