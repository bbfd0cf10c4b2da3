"""Dates and deadlines: a day, month or "by tomorrow" that no fact holds is a promise nobody made."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, occurrences

CODE = "date"
_NUMERIC = re.compile(
    r"\b\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b|\b\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b|\b\d{1,2}\s*月(?:\s*\d{1,2}\s*日)?|\b\d{1,2}\s*日|\b\d{1,2}:\d{2}\b"
    r"|\b\d{1,2}\s?(?:a\.?m\.?|p\.?m\.?)(?!\w)"
)
_WHOLE_NAME = 4  # letters: June. May is left to who reads
_MORE_THAN_A_MONTH = {"en": {"may", "march", "mar", "sun", "sat"}, "fr": {"mars"}, "de": {"mai"}, "es": {"mar"}}


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Numeric dates, times of day, names of months and days, and the brand's words for deadlines."""
    spans = [found.span() for found in _NUMERIC.finditer(passage.plain)]
    spans += [(found.start, found.end) for found in occurrences(_calendars(grounds.language), passage, grounds)]
    spans += [(found.start, found.end) for found in occurrences(grounds.phrases.deadlines, passage, grounds)]
    for start, end in sorted(spans):
        words = passage.plain[start:end]
        if _is_ambiguous(words, passage.plain[:start], passage.plain[end:], grounds.language):
            continue
        start, end = _with_day(passage.plain, start, end)
        words = passage.plain[start:end]
        if not grounds.say(words):
            yield passage.finding(CODE, start, end, f"{words!r} is in no fact")


def _with_day(text: str, start: int, end: int) -> tuple[int, int]:
    """The name with the number beside it: "October 3" is no fact because October is in one and 3 in another."""
    if text[start:end][-1:].isalpha():
        if after := re.match(r"\s+\d{1,2}(?!\d)", text[end:]):
            return start, end + after.end()
        if before := re.search(r"(?<!\d)\d{1,2}\.?\s+(?:de\s+)?$", text[:start]):
            return before.start(), end
    return start, end


@functools.lru_cache(maxsize=16)
def _calendars(language: str) -> tuple[str, ...]:
    """Those of a language and, since models lapse into it, the English ones that are not cut short: "mar" is Spanish for the sea."""
    english = [name for name in calendar("en") if len(name) >= _WHOLE_NAME]
    return tuple(dict.fromkeys([*calendar(language), *english]))


@functools.lru_cache(maxsize=16)
def calendar(language: str) -> tuple[str, ...]:
    """Names of months and days of a language (CLDR), abbreviations of three letters and more included."""
    from babel import Locale, UnknownLocaleError  # loaded for whom guards texts

    try:
        locale = Locale.parse(language)
    except (UnknownLocaleError, ValueError):
        return ()
    names = {
        name.rstrip(".")
        for kind in (locale.months, locale.days)
        for use in ("format", "stand-alone")
        for width in ("wide", "abbreviated")
        for name in kind[use][width].values()
    }
    return tuple(sorted(name for name in names if len(name) > 2 and not any(char.isdigit() for char in name)))  # noqa: PLR2004


def _is_ambiguous(words: str, before: str, after: str, language: str) -> bool:
    """ "You may invite" is no month: one that is also a word counts only beside a number."""
    if words.casefold() not in _MORE_THAN_A_MONTH.get(language, ()):
        return False
    return not re.search(r"\d[\w.]*\s*$", before) and not re.match(r"\s*\d", after)
