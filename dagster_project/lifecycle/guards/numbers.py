"""Numbers: a count, share or ordinal that no fact holds is invented. In digits of any script, and spelled out."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, folded, occurrences
from dagster_project.lifecycle.template import display

CODE = "number"
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f'\u2019]\d+)*(?:\s?[%\u066a])?")
_SPELLED_UP_TO = 100
_ROUND = (200, 300, 400, 500, 1_000, 10_000, 100_000, 1_000_000, 1_000_000_000)
_UNTELLING = 2  # "one", "un", "eins", "uno" and "zero" are articles and pronouns before they are numbers
# A numeral of kanji is a number before a counter; alone it is part of a word, as in 一緒に.
_KANJI = re.compile(r"[一二三四五六七八九十百千万億]+(?=[つ人日個回件週月年割倍円名時分秒歳本枚台社通ヶか箇])")
_KANJI_DIGITS = {char: value for value, char in enumerate("〇一二三四五六七八九")}
_KANJI_UNITS = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "億": 100_000_000}


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Every number that neither facts nor author say. A percentage needs a percentage among them."""
    known = known_numbers(grounds)
    for found in _NUMBER.finditer(passage.plain):
        if not readings(found[0]) & known:
            yield passage.finding(CODE, *found.span(), f"{found[0]!r} is in no fact")
    values = told(grounds.language, grounds.phrases.false_friends)
    for found in occurrences(tuple(values), passage, grounds):
        if values[folded(found.words)] not in known and not grounds.say(found.words):
            yield passage.finding(CODE, found.start, found.end, f"{found.words!r} is in no fact")
    for found in occurrences(grounds.phrases.quantities, passage, grounds):
        if not grounds.say(found.words):
            yield passage.finding(CODE, found.start, found.end, f"{found.words!r} is in no fact")
    if grounds.language == "ja":
        for found in _KANJI.finditer(passage.plain):
            if str(_kanji(found[0])) not in known and not grounds.say(found[0]):
                yield passage.finding(CODE, *found.span(), f"{found[0]!r} is in no fact")


def known_numbers(grounds: Grounds) -> frozenset[str]:
    """The numbers that a text may say, in one spelling."""
    return _known(tuple(_said(grounds.facts)), grounds.own_words)


@functools.lru_cache(maxsize=256)
def _known(facts: tuple[str, ...], own_words: str) -> frozenset[str]:
    said = [*facts, unicodedata.normalize("NFKC", own_words)]
    digits = {number for text in said for found in _NUMBER.findall(text) for number in readings(found)}
    return frozenset(digits)


def _said(facts: Mapping[str, str | float | None]) -> Iterable[str]:
    for value in facts.values():
        if value is not None:
            yield unicodedata.normalize("NFKC", display(value))
            if not isinstance(value, str):
                yield repr(value)


def readings(text: str) -> frozenset[str]:
    """What a number in digits may mean: 1,200 is twelve hundred in English and 1.2 in German; both are compared."""
    digits = "".join(str(unicodedata.digit(char)) if char.isdigit() else char for char in text)
    sign = "%" if digits.rstrip()[-1] in "%\u066a" else ""
    digits = re.sub(r"[%\u066a\s\u00a0\u202f'\u2019]", "", digits)
    found = set()
    for grouping, point in ((",", "."), (".", ",")):
        parts = digits.split(point)
        whole = parts[0]
        if len(parts) > 2 or not re.fullmatch(rf"\d+|\d{{1,3}}(?:{re.escape(grouping)}\d{{3}})+", whole):  # noqa: PLR2004
            continue
        whole = whole.replace(grouping, "").lstrip("0") or "0"
        fraction = parts[1].rstrip("0") if len(parts) > 1 else ""
        if fraction.isdigit() or not fraction:
            found.add(f"{whole}{'.' if fraction else ''}{fraction}{sign}")
    return frozenset(found or {digits + sign})


@functools.lru_cache(maxsize=64)
def told(language: str, false_friends: tuple[str, ...] = ()) -> Mapping[str, str]:
    """Those of a language and, since models lapse into it, of English."""
    friends = {folded(word) for word in false_friends}
    english = {word: value for word, value in spelled("en").items() if word not in friends}
    return {**english, **spelled(language)}


@functools.lru_cache(maxsize=16)
def spelled(language: str) -> Mapping[str, str]:
    """Spelled-out numbers and ordinals of a language -> the number in digits. Empty where nobody knows them."""
    from num2words import num2words  # 30 languages, loaded for whom guards texts

    found: dict[str, str] = {}
    if language == "ja":
        return found
    for number in (*range(_UNTELLING, _SPELLED_UP_TO + 1), *_ROUND):
        for kind in ("cardinal", "ordinal"):
            try:
                word = num2words(number, lang=language, to=kind)
            except (NotImplementedError, OverflowError, TypeError, ValueError, LookupError):
                continue
            if not any(char.isdigit() for char in str(word)):
                found.setdefault(folded(str(word)), str(number))
    return found


def _kanji(text: str) -> int:
    """一二 is a numeral by places, 百二十 one by units."""
    total = part = digit = 0
    for char in text:
        if char in _KANJI_DIGITS:
            digit = digit * 10 + _KANJI_DIGITS[char]
        elif (unit := _KANJI_UNITS[char]) >= 10_000:  # noqa: PLR2004
            total, part, digit = total + max(part + digit, 1) * unit, 0, 0
        else:
            part, digit = part + max(digit, 1) * unit, 0
    return total + part + digit
