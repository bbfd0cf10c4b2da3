"""Accessible wording: it must be understood by who hears it read out (WCAG 2.2: 1.3.3, 2.4.4, 3.1.5)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, occurrences

CODES = ("vague_link", "symbols")
_RUN = re.compile(r"([^\w\s])\1{2,}")
_ELLIPSIS = "..."


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """ "Click here", emoji and runs of signs, which a screen reader spells out one by one."""
    for found in occurrences(grounds.phrases.vague_links, passage, grounds):
        if not grounds.say(found.words):
            yield passage.finding(
                "vague_link", found.start, found.end, f"{found.words!r} says nothing to who can't see the page"
            )
    for found in _RUN.finditer(passage.text):
        if found[0] != _ELLIPSIS:
            yield Finding("symbols", passage.name, *found.span(), f"{found[0]!r} is read out sign by sign")
    if passage.text.isascii():
        return
    for place, char in enumerate(passage.text):
        if unicodedata.category(char) == "So" and not grounds.say(char):
            name = unicodedata.name(char, "a symbol").lower()
            yield Finding("symbols", passage.name, place, place + 1, f"{char!r} is read out as {name!r}")
