"""What the rules look at: the finished bytes of a mail, read once by other code than wrote them. Pure."""

from __future__ import annotations

import binascii
import dataclasses
import functools
import re
from collections.abc import Collection

from dagster_project.lifecycle.message import Draft

_BOUNDARY = re.compile(r'multipart/alternative\s*;(?:[^;]*;)*?\s*boundary\s*=\s*"?([^";]+)', re.IGNORECASE)
_PART_TYPE = re.compile(r"^content-type\s*:\s*text/(plain|html)\b", re.IGNORECASE | re.MULTILINE)
_PART_ENCODING = re.compile(r"^content-transfer-encoding\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_ATTACHED = re.compile(r"^content-disposition\s*:\s*attachment\b", re.IGNORECASE | re.MULTILINE)
_SIGNED_FOR = re.compile(r"(?:^|;)\s*d\s*=\s*([^;\s]*)")
_SIGNED_HEADERS = re.compile(r"(?:^|;)\s*h\s*=([^;]*)")
TAG = "\0"  # stands between two pieces of visible text; no mail may hold one
VISIBLE = re.compile(r">([^<]+)")
_LINK = re.compile(r"//(?<=[:\"'(=]//)([^\"'<>\s)\\]+)")  # also one without a scheme


@dataclasses.dataclass(slots=True)  # not frozen: that would cost 3 µs per mail
class Mail:
    """What the rules look at. Names of headers are in lower case, values unfolded; a missing or blank part is empty."""

    message: str  # the bytes, a character for each
    sender_domain: str
    signing_domains: Collection[str] | None
    postal_address: str
    subject: str
    unsubscribe_url: str | None
    head_chars: int
    headers: dict[str, list[str]]
    repeated: set[str]
    from_domain: str
    signatures: list[tuple[str, frozenset[str]]]  # domain, names of the signed headers
    text: str
    html: str
    strange_parts: int
    pieces: list[str]  # the HTML's visible text between its tags
    visible: str  # the same, joined by `TAG`
    links: list[str]  # of both parts, what follows the two slashes


def read_mail(
    raw: bytes, draft: Draft, sender_domain: str, signing_domains: Collection[str] | None, postal_address: str
) -> Mail:
    message = raw.decode("latin-1")  # what is not ASCII is decoded where it matters
    end = message.find("\r\n\r\n")
    head = message[:end] if end >= 0 else message
    headers, repeated = _read_head(head)
    senders = headers.get("from")
    parts, strange = _read_parts(headers.get("content-type", ()), message)
    text, html = parts.get("plain", ""), parts.get("html", "")
    start = _body_start(html)
    pieces = VISIBLE.findall(html, start) if start else VISIBLE.findall(f">{html}")
    return Mail(
        message=message,
        sender_domain=sender_domain,
        signing_domains=signing_domains,
        postal_address=postal_address,
        subject=draft.subject,
        unsubscribe_url=draft.unsubscribe_url,
        head_chars=len(head),
        headers=headers,
        repeated=repeated,
        from_domain=senders[0].rpartition("@")[2].rstrip("> ").lower() if senders else "",
        signatures=[_signature(value) for value in headers.get("dkim-signature", ())],
        text="" if text.isspace() else text,
        html=html,
        strange_parts=strange,
        pieces=pieces,
        visible=TAG.join(pieces),
        links=_LINK.findall(html, start) + _LINK.findall(text),
    )


def _read_head(head: str) -> tuple[dict[str, list[str]], set[str]]:
    """Name → values, and the names that stand more than once."""
    unfolded = head.replace("\r\n ", " ")
    if "\t" in unfolded:
        unfolded = unfolded.replace("\r\n\t", " ")
    headers: dict[str, list[str]] = {}
    repeated: set[str] = set()
    for line in unfolded.split("\n"):  # one character is found faster than two; strip() takes the other
        name, _, value = line.partition(":")
        name = name.lower()
        if name in headers:
            headers[name].append(value.strip())
            repeated.add(name)
        else:
            headers[name] = [value.strip()]
    return headers, repeated


def _read_parts(content_types: Collection[str], message: str) -> tuple[dict[str, str], int]:
    """Subtype → decoded content of the two text parts, and how many parts are something else."""
    found = _BOUNDARY.match(next(iter(content_types), ""))
    if not found:
        return {}, 0
    parts: dict[str, str] = {}
    strange = 0
    for piece in message.split(f"\r\n--{found[1]}")[1:-1]:
        head, _, content = piece.partition("\r\n\r\n")
        subtype, encoding = _part_form(head)
        decoded = _decoded(content, encoding)
        if subtype is None or decoded is None or subtype in parts:
            strange += 1
        else:
            parts[subtype] = decoded
    return parts, strange


@functools.lru_cache(maxsize=64)
def _part_form(head: str) -> tuple[str | None, str]:
    """Subtype, None when it is none of our two, and transfer encoding. The same few heads stand in every mail."""
    kind, encoding = _PART_TYPE.search(head), _PART_ENCODING.search(head)
    subtype = kind[1].lower() if kind and not _ATTACHED.search(head) else None
    return subtype, encoding[1].lower() if encoding else "7bit"


def _decoded(content: str, encoding: str) -> str | None:
    """The part's own characters; None when nobody can know them."""
    if encoding in ("7bit", "8bit"):
        return content if content.isascii() else content.encode("latin-1").decode(errors="replace")
    try:
        if encoding == "quoted-printable":
            return binascii.a2b_qp(content).decode(errors="replace")
        return binascii.a2b_base64(content).decode(errors="replace") if encoding == "base64" else None
    except ValueError:
        return None


def _signature(value: str) -> tuple[str, frozenset[str]]:
    """The domain, and the names of the signed headers."""
    start = value.partition(" bh=")[0]  # what ours of one second have in common; in others' the tags may come later
    return _tags(start) if " h=" in start and " d=" in start else _tags(value)


@functools.lru_cache(maxsize=64)
def _tags(value: str) -> tuple[str, frozenset[str]]:
    domain, names = _SIGNED_FOR.search(value), _SIGNED_HEADERS.search(value)
    listed = names[1] if names else ""
    return domain[1].lower() if domain else "", frozenset(name.strip().lower() for name in listed.split(":"))


def _body_start(html: str) -> int:
    """Where the body begins; 0 for a document without one. Behind the last brace, as a rule: that is a style's, and a
    single character is found from behind at once."""
    start = html.find("<body", html.rfind("}") + 1)
    return start if start >= 0 else max(html.find("<body"), 0)
