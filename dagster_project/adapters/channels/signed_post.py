"""A channel that is a POST of JSON, signed by the Standard Webhooks scheme, with the message's id as idempotency key."""

from __future__ import annotations

import abc
import base64
import binascii
import hashlib
import hmac
import json
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import ClassVar, Self

from dagster_project.adapters.channels.base import Receipt, SingleTransport, transport_of
from dagster_project.adapters.channels.http_post import (
    ALLOWED,
    CONFLICT,
    NoReplyError,
    NotSentError,
    Poster,
    Reply,
    Timeouts,
    is_about_more,
    is_said_of_key,
    outcome_of,
    read_endpoint,
)
from dagster_project.adapters.channels.reading import UnsuitableError
from dagster_project.adapters.channels.sockets import MAX_DETAIL_CHARS
from dagster_project.adapters.clock import utc_now
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret of the scheme begins with
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64  # as the scheme demands
MAX_PROVIDER_ID_CHARS = 200
OTHER_REQUEST = 422  # what the IETF's draft on idempotency keys has for a known key with another body
KEY_LIFETIME = timedelta(hours=24)  # for how long receivers usually remember a key; theirs may be longer


def read_secrets(secret: str | None, setting: str) -> tuple[bytes, ...]:
    """The signing keys, newest first, of `whsec_…[,whsec_…]`. InputError without the secret in it."""
    allowed = (
        f"{SECRET_PREFIX} and the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes; several by comma, newest first"
    )
    entries = [entry.strip() for entry in (secret or "").split(",") if entry.strip()]
    if not entries:
        raise InputError(f"{setting}: found nothing; allowed: {allowed}")
    keys = []
    for entry in entries:
        try:
            if not entry.startswith(SECRET_PREFIX):
                raise InputError(f"{setting}: found no {SECRET_PREFIX} at its start; allowed: {allowed}")
            keys.append(base64.b64decode(entry.removeprefix(SECRET_PREFIX), validate=True))
        except (binascii.Error, ValueError):
            raise InputError(f"{setting}: found what is not base64; allowed: {allowed}") from None
        if not MIN_KEY_BYTES <= len(keys[-1]) <= MAX_KEY_BYTES:
            raise InputError(f"{setting}: found a key of {len(keys[-1])} bytes; allowed: {allowed}")
    return tuple(keys)


def signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The Webhook-Signature header: one `v1,…` per key, so that receivers may change from one key to the next."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(["v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys])


def scrubbed(text: str, *private: str) -> str:
    """A line fit for the ledger: printable, at most 200 characters, without the private words in any case."""
    words = " ".join(text.split())
    for word in filter(None, private):
        words = re.sub(re.escape(word), "…", words, flags=re.IGNORECASE)
    return "".join([character if character.isprintable() else "?" for character in words])[:MAX_DETAIL_CHARS].rstrip()


class SignedPostChannel(SingleTransport, abc.ABC):
    """One endpoint that is told of each message. A subclass says what it is told.

    `receiver_is_idempotent`: the receiver acts once per Idempotency-Key, so that an `unknown` may be repeated.
    """

    name: ClassVar[str]
    setting: ClassVar[str]  # settings are called <setting>_URL and <setting>_SECRET
    in_flight = 1  # each message in doubt needs somebody to ask the receiver

    def __init__(
        self,
        url: str | None,
        secret: str | None,
        *,
        receiver_is_idempotent: bool = False,
        key_lifetime: timedelta = KEY_LIFETIME,
        tls: ssl.SSLContext | None = None,
        timeouts: Timeouts | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Raises InputError for a URL or a secret that cannot be used."""
        self._endpoint = read_endpoint(url, f"{self.setting}_URL")
        self._keys = read_secrets(secret, f"{self.setting}_SECRET")
        self._is_idempotent = receiver_is_idempotent
        self._key_lifetime = key_lifetime
        self._poster = Poster(self._endpoint, tls=tls, timeouts=timeouts)
        self._clock = clock
        self._transport = transport_of(self.name, url=(self._endpoint.label, self._endpoint.target))

    @property
    def key_lifetime(self) -> timedelta | None:
        return self._key_lifetime if self._is_idempotent else None

    def via(self, message_id: str) -> Via:
        """The key goes with every message; only of a receiver that acts once per key is it of any use."""
        return Via(self._transport, message_id if self._is_idempotent else None)

    def __enter__(self) -> Self:
        try:
            self._poster.open()
        except NotSentError as error:
            raise InputError(f"{self.setting}_URL: {error}; allowed: {ALLOWED}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._poster.close()

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        """One after the other, each as its turn comes. Never raises for trouble in delivery."""
        return ((built, self.send(built)) for built in mails)

    def send(self, built: Built) -> Receipt:
        """One message by itself: try once."""
        try:
            body = json.dumps(self._content(built), separators=(",", ":")).encode("ascii")
        except UnsuitableError as error:
            return Receipt("rejected", str(error))
        timestamp = int(self._clock().replace(tzinfo=UTC).timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Postrider",
            "Idempotency-Key": built.message_id,
            "Webhook-Id": built.message_id,
            "Webhook-Timestamp": str(timestamp),
            "Webhook-Signature": signature(self._keys, built.message_id, timestamp, body),
        }
        try:
            reply = self._poster.post(self._endpoint.target, headers, body)
        except NotSentError as error:
            return Receipt("not_sent", str(error), is_channel_down=error.is_unreachable)
        except NoReplyError as error:
            return Receipt("unknown", str(error), is_channel_down=True)
        return self._receipt(reply, built)

    def _receipt(self, reply: Reply, built: Built) -> Receipt:
        detail = scrubbed(f"reply: {reply.status} {reply.reason}", built.rcpt_to, built.rcpt_to.lstrip("+"))
        if reply.status == CONFLICT and self._is_idempotent:
            # an attempt under this key has arrived before, and what became of it is not said
            return Receipt("unknown", detail)
        outcome = outcome_of(reply.status, was_whole=reply.was_whole)
        provider_id = _provider_id(reply.body) if outcome == "sent" else None
        is_refused = is_said_of_key(reply.status, was_whole=reply.was_whole) and reply.status != OTHER_REQUEST
        return Receipt(
            outcome,
            detail,
            provider_id,
            is_channel_down=is_about_more(reply.status),
            holds_for_key=outcome == "sent" or (outcome == "rejected" and is_refused),
        )

    @abc.abstractmethod
    def _content(self, built: Built) -> Mapping[str, str]:
        """What the receiver is told. Raises UnsuitableError for a message that cannot go this way."""


def _provider_id(body: bytes) -> str | None:
    """The `id` of a JSON object, when there is one to be read. Receivers need not answer with a body at all."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = content.get("id") if isinstance(content, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return scrubbed(str(found))[:MAX_PROVIDER_ID_CHARS] or None
