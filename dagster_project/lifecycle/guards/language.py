"""Language: the text is written in the recipient's."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

CODE = "language"
# Written in scripts of their own: the script decides, and is certain from a few letters on.
_SCRIPTS = {
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "zh": ("CJK",),
    "ko": ("HANGUL", "CJK"),
    "ar": ("ARABIC",),
    "fa": ("ARABIC",),
    "he": ("HEBREW",),
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "el": ("GREEK",),
    "th": ("THAI",),
}
_LATIN_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl")
_OWN_SHARE = 0.5  # of letters: the rest are names
_FEWEST_LETTERS = 12
_FEWEST_FOREIGN_WORDS = (
    3  # fewer are names: a Japanese welcome to Ledgerline has twice as many letters of that as of its own
)
_FEWEST_WORDS = 7  # below, names and borrowed words decide: py3langid calls "Team-Einladung senden" English
_CERTAIN = 0.9
# Models lapse into English. In a text too short to be told by its letters these give it away: words that hold an English sentence
# together and are none in German, French, Spanish, Italian or Portuguese ("has" and "will" are), nor Dutch ("is", "of").
_ENGLISH = frozenset(
    """the you your yours it its this that these those and with for from are have been would could should to at every our they them
    their about before until when what how now here there please get see only just out by ever never always without us any which while
    than then not who why more most some""".split()  # noqa: SIM905 - prose is read more easily
)
_ENGLISH_SHARE = 1 / 3  # of the words: one of three, two of six


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """The wrong script, or for languages in Latin letters another language with 90 % certainty; a short text only where a third
    of its words are English ones that neither facts nor author say."""
    if grounds.language in _LATIN_LANGUAGES[1:] and 1 < len(passage.tokens) < _FEWEST_WORDS:
        yield from _lapse(passage, grounds)
    letters = [char for char in passage.plain if char.isalpha()]
    if len(letters) < _FEWEST_LETTERS:
        return
    scripts = _SCRIPTS.get(grounds.language, ("LATIN",))
    own = sum(unicodedata.name(char, "").startswith(scripts) for char in letters) / len(letters)
    if own < _OWN_SHARE and _foreign_words(passage.plain, scripts) >= _FEWEST_FOREIGN_WORDS:
        sentence = f"only {own:.0%} of the letters are of the script of {grounds.language}"
        yield passage.finding(CODE, 0, len(passage.plain), sentence)
    elif grounds.language in _LATIN_LANGUAGES and len(passage.tokens) >= _FEWEST_WORDS:
        text = re.sub(r"\s+", " ", passage.plain)
        found, certainty = _identifier().classify(text)
        if found != grounds.language and certainty >= _CERTAIN:
            sentence = f"reads as {found} and not as {grounds.language} ({certainty:.0%})"
            yield passage.finding(CODE, 0, len(passage.plain), sentence)


def _lapse(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """A short text that is held together by English words."""
    words = [word for word, _, _ in passage.tokens]
    english = [word for word in words if word in _ENGLISH and not grounds.say(word)]
    if len(english) >= len(words) * _ENGLISH_SHARE:
        sentence = f"{', '.join(dict.fromkeys(english))}: English, and not {grounds.language}"
        yield passage.finding(CODE, 0, len(passage.plain), sentence)


def _foreign_words(text: str, scripts: tuple[str, ...]) -> int:
    """Different runs of letters of other scripts."""
    blank = (char if char.isalpha() and not unicodedata.name(char, "").startswith(scripts) else " " for char in text)
    return len(set("".join(blank).casefold().split()))


@functools.cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import (  # with its model a fifth of a second, for whom guards texts
        MODEL_FILE,
        LanguageIdentifier,
    )

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(_LATIN_LANGUAGES))
    return identifier
