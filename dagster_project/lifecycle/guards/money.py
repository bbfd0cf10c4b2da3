"""Money: an amount, a price or a currency that no fact holds. An invented discount binds who sent it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, occurrences

CODE = "money"
_SIGN = re.compile(r"[$\u00a2-\u00a5\u058f\u060b\u09f3\u0e3f\u20a0-\u20cf\ufdfc]|(?<=\d)\s?(?:円|元)")
_CODES = ("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "AED", "SAR", "EGP", "MXN", "INR", "CNY")


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Signs, codes and names of currencies. Allowed where a fact or the author says the very amount."""
    spans = {found.span() for found in _SIGN.finditer(passage.plain)}
    for phrases in (currencies(grounds.language), grounds.phrases.money):
        spans |= {(found.start, found.end) for found in occurrences(phrases, passage, grounds)}
    for start, end in sorted(spans):
        amount = _amount(passage.plain, start, end)
        if not _is_said(amount, grounds):
            yield passage.finding(CODE, start, end, f"{amount!r} is in no fact")


def _amount(text: str, start: int, end: int) -> str:
    """The sign with the number beside it: what a fact would have to say."""
    before = re.search(r"\d[\d.,\u00a0\u202f ]*$", text[:start])
    after = re.match(r"\s?\d[\d.,]*\d|\s?\d", text[end:])
    if after and not before:
        return text[start : end + after.end()].strip()
    return text[before.start() if before else start : end].strip()


def _is_said(amount: str, grounds: Grounds) -> bool:
    return re.sub(r"\s", "", amount).casefold() in re.sub(r"\s", "", grounds.known)


@functools.lru_cache(maxsize=16)
def currencies(language: str) -> tuple[str, ...]:
    """Names of the widely used currencies in a language (CLDR), one and many, and their codes."""
    from babel import UnknownLocaleError  # loaded for whom guards texts
    from babel.numbers import get_currency_name

    try:
        names = {get_currency_name(code, count, locale=language) for code in _CODES for count in (None, 1, 2, 5)}
    except (UnknownLocaleError, ValueError):
        return _CODES
    return tuple(sorted({*names, *_CODES}))
