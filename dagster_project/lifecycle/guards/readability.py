"""Readability: Björnsson's LIX (1968): words per sentence + 100 x the share of words longer than six letters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, words_of

CODE = "readability"
_LONG_WORD = 6
_FEWEST_WORDS = 25  # LIX of one short sentence says only whether its words are long
_SENTENCE_END = re.compile(r"[.!?\u2026\u061f]+(?=\s|$)|[\u3002\uff01\uff1f]+|\n{2,}")


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """A text harder than the locale's bound, and each sentence longer than its bound."""
    start = 0
    for end in [*(found.end() for found in _SENTENCE_END.finditer(passage.plain)), len(passage.plain)]:
        words = sum(1 for _ in words_of(passage.plain[start:end]))
        if words > grounds.phrases.max_sentence_words:
            sentence = f"a sentence of {words} words; allowed: {grounds.phrases.max_sentence_words}"
            yield passage.finding(CODE, start, end, sentence)
        start = end
    score = lix(passage.plain)
    if score is not None and grounds.phrases.max_lix is not None and score > grounds.phrases.max_lix:
        sentence = f"reads at LIX {score:.0f}; allowed: {grounds.phrases.max_lix:.0f}"
        yield passage.finding(CODE, 0, len(passage.plain), sentence)


def lix(text: str) -> float | None:
    """About 30 is easy, 40 a newspaper, 60 a law. None for too few words to tell."""
    words = [found[0] for found in words_of(text)]
    if len(words) < _FEWEST_WORDS:
        return None
    sentences = max(len(_SENTENCE_END.findall(text.strip())), 1)
    return len(words) / sentences + 100 * sum(len(word) > _LONG_WORD for word in words) / len(words)
