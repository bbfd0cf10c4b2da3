"""Characters nobody sees: control, zero-width, bidirectional, tag characters, lone surrogates. They hide text or turn it round."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import HARD_SPACES, Finding, Grounds, Passage

CODE = "control_characters"
_JOINERS = frozenset("\u200c\u200d")


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:  # noqa: ARG001  as all guards
    """All that Unicode doesn't count as printable, but for joiners between letters beyond ASCII, hard spaces inside a line, and line
    ends in what has lines."""
    if passage.text.isprintable():
        return
    for place, char in enumerate(passage.text):
        if char.isprintable() or (char == "\n" and not passage.one_line):
            continue
        around = passage.text[max(place - 1, 0) : place] + passage.text[place + 1 : place + 2]
        is_joining = char in _JOINERS and len(around) > 1 and not any(one.isascii() for one in around)
        if is_joining or (char in HARD_SPACES and len(around) > 1 and not around.isspace()):
            continue
        name = unicodedata.name(char, f"U+{ord(char):04X}")
        yield Finding(CODE, passage.name, place, place + 1, f"holds a character that nobody sees ({name})")
