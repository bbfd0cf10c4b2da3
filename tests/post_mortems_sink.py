"""A provider on loopback, in this process, that does at a given mail what no recorder would: fail somebody else, or lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.http_server import free_port


class Sink:
    """Says "250" to every mail of `tests.released`. `on_mail` hears of each before it does, with its message_id and number (from 1);
    when it answers False the mail is thrown away, and "250" is said all the same.
    """

    def __init__(self, on_mail: Callable[[str, int], bool] = lambda _key, _number: True) -> None:
        self.port = free_port()
        self.kept: Counter[str] = Counter()  # message_id → how often it arrived
        self._on_mail = on_mail
        self._said = 0
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self._said += 1
        (recipient,) = envelope.rcpt_tos
        key = f"m{int(recipient.partition('@')[0].removeprefix('user')):05}"
        if self._on_mail(key, self._said):
            self.kept[key] += 1
        return f"250 2.0.0 Ok: queued as Q{self._said}"
