"""Homographs: letters of two scripts that look alike in one word, a Cyrillic a in "paypal" (UTS #39, mixed-script detection)."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, words_of

CODE = "homograph"
_LOOKALIKES = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
_OF_LANGUAGE = {"ru": "CYRILLIC", "uk": "CYRILLIC", "bg": "CYRILLIC", "el": "GREEK", "hy": "ARMENIAN"}


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Words that mix scripts whose letters look alike, and words wholly in such a script that is not the language's own."""
    if passage.plain.isascii():
        return
    own = {"LATIN", _OF_LANGUAGE.get(grounds.language, "LATIN")}
    for found in words_of(passage.plain):
        scripts = {_script(char) for char in found[0] if char.isalpha()} & _LOOKALIKES
        if (len(scripts) > 1 or scripts - own) and not grounds.say(found[0]):
            yield passage.finding(CODE, *found.span(), f"{found[0]!r} has letters of {' and '.join(sorted(scripts))}")


@functools.lru_cache(maxsize=4096)
def _script(char: str) -> str:
    return unicodedata.name(char, "").split(" ")[0]
