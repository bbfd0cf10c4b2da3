"""The instruction: what the model was told never reaches a recipient, neither its canary nor a piece of its text."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, words_of

CODE = "leak"
_RUN = 7  # words in a row: shorter ones are found in any two texts about one subject


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """A canary (a token of 16 hexadecimal digits in the prompt), or seven words in a row of the prompt."""
    if not grounds.prompt:
        return
    for canary in set(re.findall(r"\b[0-9a-f]{16}\b", grounds.prompt)):
        if (start := passage.plain.lower().find(canary)) >= 0:
            yield passage.finding(CODE, start, start + len(canary), "holds the canary of the instruction")
    runs = _runs(grounds.prompt)
    words = list(words_of(passage.plain))
    for first in range(len(words) - _RUN + 1):
        piece = words[first : first + _RUN]
        if tuple(word[0].casefold() for word in piece) in runs:
            sentence = f"repeats the instruction: {passage.plain[piece[0].start() : piece[-1].end()]!r}"
            yield passage.finding(CODE, piece[0].start(), piece[-1].end(), sentence)
            return


@functools.lru_cache(maxsize=8)
def _runs(prompt: str) -> frozenset[tuple[str, ...]]:
    words = [found[0].casefold() for found in words_of(prompt)]
    return frozenset(tuple(words[first : first + _RUN]) for first in range(len(words) - _RUN + 1))
