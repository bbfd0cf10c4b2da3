"""The in-app inbox: a message is delivered when its row is committed, in a database of our own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from dagster_project.adapters.channels.base import Receipt, SingleTransport
from dagster_project.adapters.channels.reading import UnsuitableError, read_parts
from dagster_project.adapters.channels.signed_post import scrubbed
from dagster_project.lifecycle.errors import InputError, LostConnectionError, Refusal
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built
from dagster_project.lifecycle.worker import IN_APP

PAUSE_SECONDS = 1.0  # before asking again: a database that restarts is away for about so long

# message_id, subject, text, HTML → committed. The same again must change nothing. Refusal: this message can never be put;
# InputError: the database can't, and nothing was written; LostConnectionError: nobody knows.
Put = Callable[[str, str, str, str], object]


class InAppChannel(SingleTransport):
    """Puts subject, text and HTML of each message into the inbox of the person it is for, whoever the envelope names."""

    name = IN_APP
    # A crash may leave so many in `sending`; whether each is in its inbox is in the same database.
    in_flight = 100

    def __init__(self, put: Put, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._put = put
        self._pause_seconds = pause_seconds

    def via(self, message_id: str) -> Via:  # noqa: ARG002 - it takes no key
        return Via("in_app", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        """One after the other, each as its turn comes. Never raises for trouble in delivery."""
        return ((built, self.send(built)) for built in mails)

    def send(self, built: Built) -> Receipt:
        """One message. `unknown` only when the connection was lost at the commit, and again when it was asked a second time."""
        try:
            parts = read_parts(built)
        except UnsuitableError as error:
            return Receipt("rejected", f"inbox: {error}")
        is_in_doubt, detail = False, ""
        for is_last in (False, True):
            try:
                self._put(built.message_id, parts.subject, parts.text, parts.html)
            except LostConnectionError as error:
                is_in_doubt, detail = True, _detail(error, built)
                if not is_last:
                    time.sleep(self._pause_seconds)
            except Refusal as error:  # had the first commit gone through, the same again would have been welcome
                return Receipt("rejected", _detail(error, built))
            except InputError as error:
                detail = _detail(error, built)
                break
            else:
                return Receipt("sent", "inbox")
        return Receipt("unknown" if is_in_doubt else "not_sent", detail, is_channel_down=True)


def _detail(error: Exception, built: Built) -> str:
    return scrubbed(f"inbox: {error}", built.rcpt_to)
