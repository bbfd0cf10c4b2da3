"""Rules about a mail's head and line ends. Each gives None, or what it found (may be empty). Pure."""

from __future__ import annotations

import io
import re

from dagster_project.lifecycle.lint.reading import Mail
from dagster_project.lifecycle.mime_encoding import MAX_LINE

ONE_CLICK = "List-Unsubscribe=One-Click"  # RFC 8058 §3.1, to the letter
_ONCE = frozenset({"from", "to", "subject", "date", "message-id", "mime-version"})
_AT_MOST_ONCE = _ONCE | {"reply-to"}
_TO_SIGN_ALWAYS = frozenset({"from"})  # RFC 6376 §5.4
_TO_SIGN = _TO_SIGN_ALWAYS | {"list-unsubscribe", "list-unsubscribe-post"}  # RFC 8058 §4
_URI = re.compile(r"<([^>]*)>")


def bare_line_end(mail: Mail) -> str | None:
    # It notes which line ends it saw, in a quarter of the time that counting the three kinds takes.
    decoder = io.IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(mail.message, final=True)
    return None if decoder.newlines in ("\r\n", None) else ""


def header_too_long(mail: Mail) -> str | None:
    message, at = mail.message, 0
    while mail.head_chars - at > MAX_LINE:  # to the furthest line end that may follow: most lines are never looked at
        at = message.rfind("\n", at, at + MAX_LINE + 2) + 1
        if not at:
            return ""
    return None


def header_missing(mail: Mail) -> str | None:
    missing = _ONCE - mail.headers.keys()
    return f"no {', '.join(sorted(missing))}" if missing else None


def header_repeated(mail: Mail) -> str | None:
    repeated = _AT_MOST_ONCE & mail.repeated
    return ", ".join(sorted(repeated)) if repeated else None


def foreign_sender(mail: Mail) -> str | None:
    found = mail.from_domain
    return None if found == mail.sender_domain.lower() or "from" not in mail.headers else found


def signature_gap(mail: Mail) -> str | None:
    needed = _TO_SIGN_ALWAYS if mail.unsubscribe_url is None else _TO_SIGN
    for _, names in mail.signatures:
        if not needed <= names:
            return f"none over {', '.join(sorted(needed - names))}"
    return None


def list_unsubscribe(mail: Mail) -> str | None:
    values, url = mail.headers.get("list-unsubscribe", []), mail.unsubscribe_url
    if url is None:
        return "one in transactional mail" if values else None
    if values == [f"<{url}>"] and url.startswith("https://"):
        return None
    if len(values) != 1:
        return f"{len(values)} headers"
    links = [uri for uri in _URI.findall(values[0]) if not uri.lower().startswith("mailto:")]
    if links == [url]:
        return None if url.startswith("https://") else "a link that is not https"
    return "another link" if len(links) == 1 else f"{len(links)} links"


def list_unsubscribe_post(mail: Mail) -> str | None:
    values = mail.headers.get("list-unsubscribe-post", [])
    if values == ([] if mail.unsubscribe_url is None else [ONE_CLICK]):
        return None
    return repr(values[0][:60]) if len(values) == 1 else f"{len(values)} headers"
