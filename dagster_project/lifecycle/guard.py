"""What a model wrote is data until it has passed here. Pure; each refusal is one code.

The checks stand at the exit, because that is where they count: whatever talked the model into something, only a short,
plain sentence made of the facts it was given can leave.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping

from dagster_project.lifecycle.template import SlotSpec, display

PLACEHOLDER = re.compile(r"\{\{ ?([a-z][a-z0-9_]*) ?\}\}")
_TEMPLATE_MARKS = re.compile(r"[{}]|\[\[|\]\]|<%|%>|\$\(|#set\b", re.IGNORECASE)
_MARKUP = re.compile(r"[<>]|&(?:#\w+|[a-z]\w*);|\]\s*\(|\]\s*:|!\[|\*\*|__|`|~~|^\s*#", re.IGNORECASE)
_LINK = re.compile(
    r"""[a-z][a-z0-9+.-]*\s*:\s*/\s*/            # any scheme
      | \b(?:mailto|tel|data|javascript|sms|callto|file|blob|about|vbscript)\s*:
      | \bwww\b | // | \\\\ | @ | \bxn--
      | [^\W_][\w-]*\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\))\s?\w   # defanged
      | [^\W\d_][\w-]*\.[^\W\d_]{2,}             # a bare domain, or two sentences without a space: neither goes out
      | \bdot\s+(?:com|net|org|io|co|example|dev|app|info|biz|ru|cn)\b
      | \b\d{1,3}(?:\.\d{1,3}){3}\b              # an IP address
      | :\d{2,5}/""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*\s*%?")
_MONEY = re.compile(
    r"[$\u00a2-\u00a5\u20a0-\u20cf]|\b(?:usd|eur|gbp|jpy|dollars?|euros?|pounds?|bucks|cents?)\b", re.IGNORECASE
)
_WORDS = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "dozen": "12", "fifteen": "15", "twenty": "20", "thirty": "30",
    "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000", "percent": "%",
    "half": "0.5", "double": "2", "triple": "3", "twice": "2",
}  # fmt: skip
_WORD = re.compile(r"\b(" + "|".join(_WORDS) + r")s?\b", re.IGNORECASE)


def _numbers(text: str) -> Iterable[str]:
    """Every number of a text in one spelling: no thousands separators, no trailing zeros, percent kept."""
    for found in _NUMBER.findall(text):
        plain = re.sub(r",(?=\d{3}(?:\D|$))", "", found.replace(" ", ""))
        sign = "%" if plain.endswith("%") else ""
        plain = plain.rstrip("%").replace(",", ".")
        yield (plain.rstrip("0").rstrip(".") if "." in plain else plain.lstrip("0") or "0") + sign


def known_numbers(facts: Mapping[str, str | float | None]) -> frozenset[str]:
    """The numbers a text about these facts may say."""
    return frozenset(number for value in facts.values() if value is not None for number in _numbers(display(value)))


def check_line(text: str, *, numbers: Collection[str] = (), placeholders: Collection[str] = ()) -> str | None:
    """None for a plain sentence, else the code of the first objection.

    Codes: empty, control_characters, unknown_placeholder, template_marks, markup, link, number, money.
    """
    if not text.strip():
        return "empty"
    if not text.isprintable():  # also line breaks, zero-width, bidirectional and tag characters, lone surrogates
        return "control_characters"
    if not set(PLACEHOLDER.findall(text)) <= set(placeholders):
        return "unknown_placeholder"
    # Full-width letters, ligatures and ideographic full stops read as ASCII to a mail program that makes links.
    plain = unicodedata.normalize("NFKC", PLACEHOLDER.sub(" ", text)).replace("\u3002", ".")
    for code, pattern in (("template_marks", _TEMPLATE_MARKS), ("markup", _MARKUP), ("link", _LINK), ("money", _MONEY)):
        if pattern.search(plain):
            return code
    said = {*_numbers(plain), *(_WORDS[word.lower()] for word in _WORD.findall(plain))}
    # A percent sign or word needs a percentage among the facts.
    known = {*numbers, *(["%"] if any(number.endswith("%") for number in numbers) else [])}
    return None if said <= known else "number"


def check_slots(
    slots: Mapping[str, str],
    specs: Mapping[str, SlotSpec],
    *,
    facts: Mapping[str, str | float | None],
    placeholders: Collection[str],
) -> str | None:
    """None when every slot may be used, else a fallback reason: malformed, over_length or guard:<code>.

    `facts` are the ones the model was given; `placeholders` those that this person has a value for.
    """
    if set(slots) != set(specs):
        return "malformed"
    numbers = known_numbers(facts)
    for name, spec in specs.items():
        text = slots[name]
        if len(text) > spec.max_chars:
            return "over_length"
        offered = set(spec.placeholders) & set(placeholders)
        if code := check_line(text, numbers=numbers, placeholders=offered):
            return f"guard:{code}"
        if (set(spec.must_include) & set(placeholders)) - set(PLACEHOLDER.findall(text)):
            return "guard:missing_placeholder"
    return None


def fill(text: str, values: Mapping[str, str | float | None]) -> str:
    """Each placeholder replaced once by its value; what a value itself contains is never looked at again."""
    return PLACEHOLDER.sub(lambda match: display(values[match[1]] or ""), text)
