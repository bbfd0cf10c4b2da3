"""Reading a built message back, as a mail program would: what it shows must be what went in.

Headers that hold free text are decoded by the standard library's parser, another program than the one that wrote them.
"""

from __future__ import annotations

import binascii
import functools
from collections.abc import Sequence
from email.header import decode_header, make_header
from email.headerregistry import HeaderRegistry
from email.utils import parseaddr
from typing import Any

from dagster_project.lifecycle.mime_encoding import BuildError

# The registry makes a class anew for every header it parses, a fifth of the cost; these are made once.
_REGISTRY = HeaderRegistry()
_CLASSES: dict[str, Any] = {name: _REGISTRY[name] for name in ("From", "Subject")}


def refuse_any_difference(
    raw: bytes,
    *,
    names: Sequence[str],
    boundary: bytes,
    sender: tuple[str, str],
    recipient: str,
    subject: str,
    parts: tuple[bytes, bytes],
) -> None:
    """Raise BuildError unless the bytes read as exactly these headers, addresses, subject, text and HTML."""
    without_line_ends = raw.replace(b"\r\n", b"")
    if not raw.isascii() or b"\r" in without_line_ends or b"\n" in without_line_ends:
        raise BuildError("line_ends_differ")
    head, _, body = raw.partition(b"\r\n\r\n")
    values = _headers(head)
    if list(values) != list(names):
        raise BuildError("headers_differ")
    if (
        values["To"] != recipient
    ):  # `wire_form` lets through nothing but dot-atoms: no reader can see two addresses in one
        raise BuildError("recipient_differs")
    if _read_sender(values["From"]) != (sender,):
        raise BuildError("sender_differs")
    if _read_subject(values["Subject"]) != subject:
        raise BuildError("subject_differs")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    before, *middle, after = pieces
    if before or after != b"--\r\n" or tuple(map(_content, middle)) != parts:
        raise BuildError("body_differs")


def _headers(head: bytes) -> dict[str, str]:
    """Name → value as it would be displayed before decoding: unfolded, trimmed. A name that stands twice is refused."""
    values: dict[str, str] = {}
    seen: set[str] = set()
    name = ""
    for line in head.decode("ascii").split("\r\n"):
        if line[:1] in (" ", "\t"):
            values[name] += line
        else:
            name, _, value = line.partition(":")
            if name.lower() in seen:
                raise BuildError("headers_differ")
            seen.add(name.lower())
            values[name] = value.strip(" ")
    return values


@functools.lru_cache(maxsize=256)
def _read_subject(value: str) -> str | None:
    """The text a reader would see; None when the header is not sound. Recipients of one campaign often share it."""
    if "=?" not in value:
        return value
    header = _CLASSES["Subject"]("Subject", value)
    return None if header.defects else str(header)


@functools.lru_cache(maxsize=64)
def _read_sender(value: str) -> tuple[tuple[str, str], ...]:
    """Every (display name, address) a reader would see. The same header stands in every message of a run: parsed once.

    The addresses are the new parser's, the name the old one's: the new one puts a space between two encoded words of a
    name, which RFC 2047 §6.2 forbids and readers do not do.
    """
    header = _CLASSES["From"]("From", value)
    if header.defects:
        return ()
    name = str(make_header(decode_header(parseaddr(value)[0])))
    return tuple([(name, address.addr_spec) for address in header.addresses])


def _content(piece: bytes) -> bytes | None:
    """The decoded content of one part; None when its encoding is not one of ours."""
    head, _, content = piece.partition(b"\r\n\r\n")
    if head.endswith(b"7bit"):
        return content
    if head.endswith(b"quoted-printable"):
        return binascii.a2b_qp(content)
    return binascii.a2b_base64(content) if head.endswith(b"base64") else None
