"""Signed links: hard to forge, good for ever, and readable after a change of key."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from urllib.parse import urlsplit

from itsdangerous import BadData, Signer, URLSafeSerializer

from dagster_project.lifecycle.errors import InputError

UNSUBSCRIBE_SALT = "postrider.unsubscribe"  # one per purpose: a token for one thing opens nothing else


@dataclasses.dataclass(frozen=True, slots=True)
class Unsubscribe:
    """What an unsubscribe link asks for. Ids only: links are forwarded and logged, so no address stands in them."""

    user_id: str
    message_type: str
    message_id: str | None


def unsubscribe_url(
    public_url: str, keys: Sequence[str], user_id: str, message_type: str, message_id: str | None = None
) -> str:
    """The https link that unsubscribes this user from this message type. `keys` newest first; it never expires.

    Raises InputError when `public_url` is not https: one-click unsubscribe (RFC 8058) asks for it.
    """
    payload = [user_id, message_type] if message_id is None else [user_id, message_type, message_id]
    serializer, signer = _signing(tuple(keys), UNSUBSCRIBE_SALT)
    return f"{_checked_base(public_url)}/u/{signer.sign(serializer.dump_payload(payload)).decode()}"


def read_unsubscribe(token: str, keys: Sequence[str]) -> Unsubscribe | None:
    """What the token says; None when none of the keys signed it for this purpose, or it is damaged."""
    try:
        payload = _serializer(tuple(keys), UNSUBSCRIBE_SALT).loads(token)
    except BadData:
        return None
    match payload:
        case [str(user_id), str(message_type)]:
            return Unsubscribe(user_id, message_type, None)
        case [str(user_id), str(message_type), str(message_id)]:
            return Unsubscribe(user_id, message_type, message_id)
        case _:
            return None


@functools.lru_cache(maxsize=16)
def _serializer(keys: tuple[str, ...], salt: str) -> URLSafeSerializer:
    # itsdangerous signs with the last key of a list and reads with all: ours are newest first
    return URLSafeSerializer(
        list(reversed(keys)),
        salt=salt,
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )


@functools.lru_cache(maxsize=16)
def _signing(keys: tuple[str, ...], salt: str) -> tuple[URLSafeSerializer, Signer]:
    """What `dumps` puts together for each token, key derivation included: a tick signs one per mail."""
    serializer = _serializer(keys, salt)
    derived = serializer.make_signer().derive_key()
    return serializer, Signer(derived, key_derivation="none", digest_method=hashlib.sha256)


@functools.lru_cache(maxsize=16)
def _checked_base(public_url: str) -> str:
    try:
        parts = urlsplit(public_url)
        is_usable = (
            parts.scheme == "https" and bool(parts.hostname) and not (parts.query or parts.fragment or parts.username)
        )
    except ValueError:
        is_usable = False
    if not is_usable or not public_url.isascii() or any(c in public_url for c in " <>\"'\\\r\n\t"):
        raise InputError(f"POSTRIDER_PUBLIC_URL: found {public_url!r}; allowed: https://host[/path] in ASCII")
    return public_url.rstrip("/")
