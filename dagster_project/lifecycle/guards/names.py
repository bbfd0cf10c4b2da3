"""Names: a product, feature, company or person that nobody mentioned. Models like to invent a "Smart Insights" feature."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import UNSPACED, Finding, Grounds, Passage, words_of

CODE = "name"
_SENTENCE_START = re.compile(r"(?:^|[.!?\u00bf\u00a1:;\u2026\u2013\u2014(\[\"\u201c\u201e\u00ab\u2018\u2022-])\s*$")
# Where capitals tell names from words. German writes every noun with one, Japanese and Arabic have none: there only a word
# in the Latin script, or one that is capital inside (SmartSync), is told apart.
_CAPITALS_TELL = frozenset({"en", "fr", "es", "it", "pt", "nl"})
_LATIN_TELLS = frozenset({"ja", "ar", "zh", "ko", "ru", "el", "he"})
_LATIN = re.compile(
    r"[A-Za-z\u00c0-\u024f](?:[A-Za-z\u00c0-\u024f\d'\u2019-]*[A-Za-z\u00c0-\u024f\d])?"
)  # in a text without spaces
_ALWAYS_CAPITAL = frozenset({"i", "i'm", "i'll", "i've", "i'd", "ok", "url", "csv", "pdf", "api", "id", "faq"})


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Words written as a name that stand in no fact, are no name of the brand's, and none of the author's own words."""
    known = _known(grounds.known, grounds.phrases.names)
    unspaced = grounds.language in UNSPACED
    for found in _LATIN.finditer(passage.plain) if unspaced else words_of(passage.plain):
        word = found[0]
        if not _is_name(word, passage.plain[: found.start()], grounds.language):
            continue
        spelled = _bare(word)
        if spelled not in known and spelled not in _ALWAYS_CAPITAL:
            yield passage.finding(CODE, *found.span(), f"{word!r} looks like a name that is in no fact")


def _is_name(word: str, before: str, language: str) -> bool:
    if any(char.isupper() for char in word[1:]) and not word.isupper():
        return True  # SmartSync, iPhone
    if language in _LATIN_TELLS:
        return unicodedata.name(word[0], "").startswith("LATIN") and len(word) > 1
    return language in _CAPITALS_TELL and word[0].isupper() and not _SENTENCE_START.search(before)


@functools.lru_cache(maxsize=256)
def _known(said: str, names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_bare(found[0]) for text in (said, *names) for found in (*words_of(text), *_LATIN.finditer(text)))


def _bare(word: str) -> str:
    return re.sub(r"['\u2019]s$", "", word.casefold())
