"""Tone: nobody is shouted at, pushed, flattered, frightened, or addressed now in this way and now in that."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, occurrences, words_of

CODES = ("shouting", "pressure", "effusive", "gloomy", "address")
_EXCLAMATION = re.compile(r"[!\uff01\u00a1]")
_SHOUTED_LETTERS = 4  # shorter words in capitals are mostly abbreviations


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """More than one exclamation mark, a word in capitals, and the brand's words for pressure, praise, fear and another address."""
    marks = [found.span() for found in _EXCLAMATION.finditer(passage.plain) if found[0] != "\u00a1"]
    for start, end in marks[1:]:
        yield passage.finding("shouting", start, end, "a second exclamation mark")
    for found in words_of(passage.plain):
        word = found[0]
        if len(word) >= _SHOUTED_LETTERS and word.isupper() and word.lower() != word and not grounds.say(word):
            yield passage.finding("shouting", *found.span(), f"{word!r} shouts")
    lists = grounds.phrases
    for code, phrases, why in (
        ("pressure", lists.pressure, "pushes"),
        ("effusive", lists.effusive, "praises or rejoices"),
        ("gloomy", lists.gloomy, "frightens or blames"),
        ("address", lists.other_address, "isn't how readers are addressed here"),
    ):
        for found in occurrences(phrases, passage, grounds):
            if not grounds.say(found.words):
                yield passage.finding(code, found.start, found.end, f"{found.words!r} {why}")
