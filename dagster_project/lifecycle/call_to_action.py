"""Which link of a message is the one to follow."""

from __future__ import annotations

import re
from html import unescape

MAX_LINK_CHARS = 2_048
# Linear whatever the HTML: no piece is looked at from two starting points. The library's parser needs minutes for 256 kB of "<a ".
_ANCHOR = re.compile(r"<a(\s[^<>]*)>", re.IGNORECASE)
_HREF = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_HTTPS = re.compile(r"https://[^\x00-\x20\x7f<>\"'\\]+")


def call_to_action(html: str, unsubscribe_url: str | None = None) -> str | None:
    """The first https link of a message, in the order of its HTML, that isn't the one to unsubscribe; None without any."""
    for anchor in _ANCHOR.finditer(_without_comments(html)):
        href = _HREF.search(anchor[1])
        link = unescape(href[1] or href[2] or "").strip() if href else ""
        if link != unsubscribe_url and len(link) <= MAX_LINK_CHARS and _HTTPS.fullmatch(link):
            return link
    return None


def _without_comments(html: str) -> str:
    """Mail for Outlook has whole second versions in comments."""
    kept, at = [], 0
    while (start := html.find("<!--", at)) >= 0:
        kept.append(html[at:start])
        end = html.find("-->", start + 4)
        if end < 0:
            return "".join(kept)
        at = end + 3
    return "".join([*kept, html[at:]])
