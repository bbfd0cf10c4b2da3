"""Reading a built message back with another program than the one that wrote it: the standard library's parser."""

from __future__ import annotations

import binascii
import functools
from collections.abc import Sequence
from email.header import decode_header, make_header
from email.headerregistry import HeaderRegistry
from email.parser import BytesParser
from email.policy import SMTP
from email.utils import parseaddr

from dagster_project.lifecycle.mime_encoding import BuildError

# The registry makes a class anew for every header it parses, a fifth of the cost; these are made once.
_REGISTRY = HeaderRegistry()
_CLASSES = {name: _REGISTRY[name] for name in ("to", "from", "subject")}


def _header(name: str, value: str) -> str:
    """Parse the headers that are compared by value; the others are compared by name only."""
    parse = _CLASSES.get(name.lower())
    return parse(name, value) if parse else value


_POLICY = SMTP.clone(header_factory=_header)
_PARSER = BytesParser(policy=_POLICY)


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
    read = _PARSER.parsebytes(head + b"\r\n\r\n", headersonly=True)
    if read.keys() != list(names) or read.defects:
        raise BuildError("headers_differ")
    values = dict(read.raw_items())
    if _read_addresses("To", values["To"]) != (("", recipient),):
        raise BuildError("recipient_differs")
    if _read_sender(values["From"]) != (sender,):
        raise BuildError("sender_differs")
    if _read_subject(values["Subject"]) != subject:
        raise BuildError("subject_differs")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    before, *middle, after = pieces
    if before or after != b"--\r\n" or tuple(map(_content, middle)) != parts:
        raise BuildError("body_differs")


def _read_addresses(name: str, value: str) -> tuple[tuple[str, str], ...]:
    """Every (display name, address) a reader would see; none at all when the header is not sound."""
    header = _POLICY.header_fetch_parse(name, value)
    if header.defects:
        return ()
    return tuple([(address.display_name, address.addr_spec) for address in header.addresses])


@functools.lru_cache(maxsize=256)
def _read_subject(value: str) -> str | None:
    """The text a reader would see; None when the header is not sound. Recipients of one campaign often share it."""
    header = _POLICY.header_fetch_parse("Subject", value)
    return None if header.defects else str(header)


@functools.lru_cache(maxsize=64)
def _read_sender(value: str) -> tuple[tuple[str, str], ...]:
    """The same header stands in every message of a run: parsed once.

    The addresses are the new parser's, the name the old one's: the new one puts a space between two encoded words of a
    name, which RFC 2047 §6.2 forbids and readers do not do.
    """
    name = str(make_header(decode_header(parseaddr("".join(value.splitlines()))[0])))
    return tuple([(name, address) for _, address in _read_addresses("From", value)])


def _content(piece: bytes) -> bytes | None:
    """The decoded content of one part; None when its encoding is not one of ours."""
    head, _, content = piece.partition(b"\r\n\r\n")
    if head.endswith(b"quoted-printable"):
        return binascii.a2b_qp(content)
    return binascii.a2b_base64(content) if head.endswith(b"base64") else None
