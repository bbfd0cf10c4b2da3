"""From a draft to bytes: one MIME message with an explicit envelope, proven by reading it back.

The bytes are put together directly: the standard library's message objects cost milliseconds per message, and in some
versions let an encoded word in a display name become a recipient. What was written is read back: a message whose To, From,
Subject or parts read differently from what went in is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from dagster_project.lifecycle import mime_encoding, mime_reading
from dagster_project.lifecycle.address import is_domain, wire_form
from dagster_project.lifecycle.mime_encoding import BuildError

MAX_SENDER_NAME_CHARS = 64
MAX_SENDER_CHARS = 998  # name, address and what is around them; more is no sender, and costs time to find out
MAX_SUBJECT_CHARS = 998  # inboxes show some 78; reading back a hundred thousand takes seconds

_MESSAGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # it also names files
_SENDER = re.compile(r"(?:(?P<name>[^<>]*?) *<(?P<address>[^<>]+)>|(?P<bare>[^<>\s]+))")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_HTTPS_URL = re.compile(r"https://[!-;=?-~]+")  # printable ASCII without < > and space
_EXTRA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_EXTRA_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_RESERVED = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "auto-submitted",
        "return-path",
        "received",
        "dkim-signature",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """One message, ready to be sent: CRLF bytes, not dot-stuffed, and the envelope, which no parser ever derives."""

    message_id: str
    raw: bytes
    mail_from: str
    rcpt_to: str
    header_message_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sender:
    """A From header, read once: display name (may be empty), address, and the header as bytes."""

    name: str
    address: str
    header: bytes


def build(
    message_id: str,
    *,
    sender: str,
    to_address: str,
    subject: str,
    html: str,
    text: str,
    unsubscribe_url: str | None,
    date: datetime,
    sending_domain: str,
    extra: Mapping[str, str] | None = None,
) -> Built:
    """The message as bytes, the same for the same arguments. `date` is UTC and naive; no link means transactional mail.

    `sender` is `Name <address>` or an address; `to_address` an address alone. `extra` headers are ASCII and may not
    repeat one of ours. Raises BuildError with a word for all that could make a reader see another message than meant.
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise BuildError("message_id_invalid", repr(message_id))
    if not is_domain(sending_domain):
        raise BuildError("sending_domain_invalid", repr(sending_domain))
    recipient = wire_form(to_address)
    if recipient is None:
        raise BuildError("address_unusable")
    author = read_sender(sender)
    parts = (mime_encoding.normalised(text, "text"), mime_encoding.normalised(html, "html"))
    mime_encoding.refuse_controls(subject, "subject")
    if len(subject) > MAX_SUBJECT_CHARS:
        raise BuildError("subject_too_long")

    digest = hashlib.sha256(f"postrider:{message_id}".encode()).hexdigest()
    boundary = b"=_" + digest[32:56].encode()  # no encoding produces "=_"; a body that holds it is refused
    header_message_id = f"<{digest[:32]}@{sending_domain}>"
    headers = [
        author.header,
        b"To: " + recipient.encode(),
        mime_encoding.unstructured(b"Subject: ", subject),
        _date(date),
        f"Message-ID: {header_message_id}".encode(),
    ]
    if unsubscribe_url is not None:
        headers += _unsubscribe_headers(unsubscribe_url)
    headers.append(b"Auto-Submitted: auto-generated")  # RFC 3834: keeps holiday replies away
    headers += [_extra_header(name, value) for name, value in (extra or {}).items()]
    headers += [b"MIME-Version: 1.0", b'Content-Type: multipart/alternative; boundary="%s"' % boundary]
    if max(map(len, headers)) > mime_encoding.MAX_LINE and any(
        len(line) > mime_encoding.MAX_LINE for header in headers for line in header.split(b"\r\n")
    ):
        raise BuildError("header_too_long")

    raw = b"\r\n".join(
        [
            *headers,
            b"",
            b"--" + boundary,
            mime_encoding.part(b"plain", parts[0]),
            b"--" + boundary,
            mime_encoding.part(b"html", parts[1]),
            b"--" + boundary + b"--",
            b"",
        ]
    )
    mime_reading.refuse_any_difference(
        raw,
        names=[header[: header.index(b":")].decode() for header in headers],
        boundary=boundary,
        sender=(author.name, author.address),
        recipient=recipient,
        subject=subject,
        parts=parts,
    )
    return Built(message_id, raw, author.address, recipient, header_message_id)


def rebuilt(message_id: str, raw: bytes, mail_from: str, rcpt_to: str) -> Built:
    """A message of ours as it was built, from the bytes and the envelope that were kept."""
    return Built(message_id, raw, mail_from, rcpt_to, header_message_id(raw) or "")


def header_message_id(raw: bytes) -> str | None:
    """The Message-ID header of bytes that `build` made: the name by which servers log them."""
    head = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return next((line[12:].decode("ascii") for line in head if line.startswith(b"Message-ID: ")), None)


@functools.lru_cache(maxsize=64)
def read_sender(sender: str) -> Sender:
    """Read `Name <address>` or an address. Raises BuildError: sender_invalid."""
    mime_encoding.refuse_controls(sender, "sender")
    if len(sender) > MAX_SENDER_CHARS:
        raise BuildError("sender_invalid")
    found = _SENDER.fullmatch(sender.strip())
    address = wire_form(found["address"] or found["bare"]) if found else None
    if found is None or address is None:
        raise BuildError("sender_invalid", repr(sender))
    name = (found["name"] or "").strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    if len(name) > MAX_SENDER_NAME_CHARS or "=?" in name or name != name.strip():
        raise BuildError("sender_invalid", repr(sender))
    if not name:
        return Sender(name, address, b"From: " + address.encode())
    if _PHRASE.fullmatch(name):
        phrase = b"From: " + name.encode()
    elif name.isascii():
        phrase = b'From: "' + re.sub(r'(["\\])', r"\\\1", name).encode() + b'"'
    else:
        phrase = mime_encoding.encoded_words(b"From: ", name)
    last_line = phrase[phrase.rfind(b"\n") + 1 :]
    fold = b"\r\n " if len(last_line) + len(address) + 3 > mime_encoding.MAX_FOLDED_LINE else b" "
    return Sender(name, address, phrase + fold + b"<" + address.encode() + b">")


@functools.lru_cache(maxsize=64)
def _date(date: datetime) -> bytes:
    """The same in every mail of a run."""
    return f"Date: {format_datetime(date.replace(tzinfo=UTC))}".encode()


def _unsubscribe_headers(url: str) -> list[bytes]:
    """RFC 8058, one click: exactly one https URI, and the exact words of the other header. A URL cannot be folded."""
    if not _HTTPS_URL.fullmatch(url):
        raise BuildError("unsubscribe_url_invalid")
    return [b"List-Unsubscribe: <" + url.encode() + b">", b"List-Unsubscribe-Post: List-Unsubscribe=One-Click"]


def _extra_header(name: str, value: str) -> bytes:
    if (
        not _EXTRA_NAME.fullmatch(name)
        or name.lower().startswith("resent-")
        or name.lower() in _RESERVED
        or not _EXTRA_VALUE.fullmatch(value)
    ):
        raise BuildError("extra_header_invalid", name[:64])
    return f"{name}: {value}".encode()
