"""Which link of a message is the one to follow."""

from __future__ import annotations

import re
from html.parser import HTMLParser

MAX_LINK_CHARS = 2_048
_HTTPS = re.compile(r"https://[^\x00-\x20\x7f<>\"'\\]+")


def call_to_action(html: str, unsubscribe_url: str | None = None) -> str | None:
    """The first https link of a message, in the order of its HTML, that isn't the one to unsubscribe; None without any."""
    finder = _LinkFinder(unsubscribe_url)
    finder.feed(html)
    finder.close()
    return finder.found


class _LinkFinder(HTMLParser):
    """Reads `<a href>` alone: what a comment, a style or a text says is no link."""

    def __init__(self, unsubscribe_url: str | None) -> None:
        super().__init__()
        self._unsubscribe_url = unsubscribe_url
        self.found: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a" or self.found is not None:
            return
        link = (next((value for name, value in attrs if name == "href"), None) or "").strip()
        if link != self._unsubscribe_url and len(link) <= MAX_LINK_CHARS and _HTTPS.fullmatch(link):
            self.found = link
