"""The default channel: one .eml file per message in a folder per day. It sends nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from dagster_project.adapters.channels.base import Receipt, SingleTransport
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built


class OutboxChannel(SingleTransport):
    """`<outbox>/<day of as_of>/<message_id>.eml`: exactly the bytes that would be sent. Only its owner may look."""

    name = "outbox"
    # A crash may leave so many in `sending`; whether each went out is plain from whether its file is there.
    in_flight = 100

    def __init__(self, outbox: Path, as_of: datetime) -> None:
        self._outbox = outbox
        self._day = outbox / as_of.date().isoformat()  # made with its first mail

    def via(self, message_id: str) -> Via:  # noqa: ARG002 - it takes no key
        return Via("outbox", None)

    def __enter__(self) -> Self:
        try:
            self._outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._outbox):
                pass
        except OSError as error:
            raise InputError(
                f"{self._outbox}: {error.strerror}; allowed: a folder that this user can write, with room left"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        return ((built, self.send(built)) for built in mails)

    def send(self, built: Built) -> Receipt:
        """Write the file, whole or not at all. The same file again counts as sent; another one is never replaced."""
        final = self._day / f"{built.message_id}.eml"
        unfinished = self._day / f".{built.message_id}.{os.getpid()}"
        try:
            self._day.mkdir(mode=0o700, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(built.raw)
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, final)  # unlike rename, it fails when the name is taken
        except FileExistsError:
            return self._already_there(final, built)
        except OSError as error:
            return Receipt("not_sent", f"outbox: {error.strerror}", is_channel_down=True)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
        return self._settled(final)

    def _already_there(self, final: Path, built: Built) -> Receipt:
        try:
            is_same = final.read_bytes() == built.raw
        except OSError as error:
            return Receipt("unknown", f"outbox: {error.strerror}")
        return self._settled(final) if is_same else Receipt("rejected", "outbox: another file of this name is there")

    def _settled(self, final: Path) -> Receipt:
        """The file is there; whether its name survives a power cut is known after the folder's fsync."""
        try:
            folder = os.open(self._day, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            return Receipt("unknown", f"outbox: {error.strerror}")
        return Receipt("sent", "outbox", provider_id=f"{self._day.name}/{final.name}")


def was_written(outbox: Path, message_id: str, raw: bytes | None) -> bool:
    """Do these very bytes lie in the outbox? Then the message went out, as far as an outbox goes."""
    files = outbox.glob(f"*/{message_id}.eml") if raw is not None else ()
    return any(file.read_bytes() == raw for file in files)
