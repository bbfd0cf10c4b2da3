"""Rules about a mail's two parts and what must be seen in both. Each gives None, or what it found (may be empty). Pure."""

from __future__ import annotations

import functools
import re
from html import unescape

from dagster_project.lifecycle.lint.reading import TAG, Mail

MAX_HTML_BYTES = 102_000  # Gmail cuts a mail there, and with it the footer that the law asks for
_ANCHOR = re.compile(r"<a\s([^>]*)>(.*?)</a>", re.IGNORECASE | re.DOTALL)
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)
_HIDES = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?!\.?\d)")


def part_missing(mail: Mail) -> str | None:
    if not mail.text:
        return "no text"
    return None if mail.visible.strip("\0 \t\r\n\xa0") else "no HTML"


def part_unexpected(mail: Mail) -> str | None:
    return f"{mail.strange_parts} more" if mail.strange_parts else None


def html_too_large(mail: Mail) -> str | None:
    size = len(mail.html) if mail.html.isascii() else len(mail.html.encode())
    return f"{size:,}" if size > MAX_HTML_BYTES else None


def postal_address(mail: Mail) -> str | None:
    address = mail.postal_address
    if not address.strip():
        return "none in the settings"
    if mail.text and address not in mail.text and _folded_address(address) not in " ".join(mail.text.split()):
        return "none in the text"
    if mail.html and address not in mail.visible and _folded_address(address) not in _folded(mail.visible):
        return "none in the HTML"
    return None


def unsubscribe_link(mail: Mail) -> str | None:
    url = mail.unsubscribe_url
    if url is None:
        return None
    if mail.text and not _says(mail.text, url):
        return "none in the text"
    return "none in the HTML" if mail.html and not _shows(mail.html, url) else None


def _says(text: str, url: str) -> bool:
    """Does the link stand in the text as a whole, so that a mail program ends it where it ends?"""
    at = text.find(url)
    while at >= 0:
        after = text[at + len(url) : at + len(url) + 2]
        if not after or after[0].isspace() or after[0] in ">)]" or (after[0] in ".,;" and not after[1:].strip()):
            return True
        at = text.find(url, at + 1)
    return False


def _shows(html: str, url: str) -> bool:
    """Is there an anchor to the link that a reader can see and click?"""
    at = html.rfind(f'href="{url}"')  # it is in the footer, written as our templates do
    if at >= 0:
        start, end = html.rfind("<", 0, at), html.find(">", at)
        if html.startswith("<a ", start) and _is_seen(
            html, start, html[start:end], html[end + 1 : html.find("<", end)]
        ):
            return True
    return any(
        _leads_to(anchor, url) and _is_seen(html, anchor.start(), anchor[1], anchor[2])
        for anchor in _ANCHOR.finditer(html)
    )


def _leads_to(anchor: re.Match[str], url: str) -> bool:
    href = _HREF.search(anchor[1])
    return href is not None and unescape(href[1] or href[2] or href[3] or "") == url


def _is_seen(html: str, start: int, attributes: str, inside: str) -> bool:
    style = attributes.lower()
    may_hide = "display" in style or "visibility" in style or "font-size" in style
    if may_hide and _HIDES.search(style):
        return False
    if html.rfind("<!--", 0, start) > html.rfind("-->", 0, start):
        return False
    return bool((re.sub(r"<(?!img\b)[^>]*>", "", inside) if "<" in inside else inside).strip())


def _folded(words: str) -> str:
    return " ".join(unescape(words.replace(TAG, " ")).split())


_folded_address = functools.lru_cache(maxsize=16)(_folded)  # the same in every mail of a run
