"""Repetition: a text that says the same twice was written by nobody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, words_of

CODE = "repeated"
_RUN = 4
_FEWEST_WORDS = 3
_SENTENCE = re.compile(r"[^.!?\u2026\u061f\n]+")


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:  # noqa: ARG001  as all guards
    """The same sentence twice, or four words that come three times."""
    seen: set[tuple[str, ...]] = set()
    for found in _SENTENCE.finditer(passage.plain):
        words = tuple(word[0].casefold() for word in words_of(found[0]))
        if len(words) >= _FEWEST_WORDS and words in seen:
            yield passage.finding(CODE, *found.span(), f"says {found[0].strip()!r} twice")
        seen.add(words)
    words = [word[0].casefold() for word in words_of(passage.plain)]
    runs = Counter(tuple(words[first : first + _RUN]) for first in range(len(words) - _RUN + 1))
    for run, times in runs.items():
        if times > 2:  # noqa: PLR2004
            yield passage.finding(CODE, 0, len(passage.plain), f"says {' '.join(run)!r} {times} times")
            return
