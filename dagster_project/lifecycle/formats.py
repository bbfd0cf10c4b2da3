"""Numbers, percentages, money and dates as a locale writes them (CLDR, by Babel), and which way it is read. Pure.

Each is remembered: formatting takes Babel 10 to 30 µs, and a run has few distinct numbers and days. Digits are 0 to 9 everywhere, also
in Arabic: plan names, versions and addresses bring them along, and the guards compare them. Marks of direction that CLDR puts
beside signs are left out: guards refuse characters that nobody sees, and the layout isolates what is filled in.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from datetime import date

_REMEMBERED = 4096  # of each kind
_MOST_DECIMALS = 2
ISOLATES = ("\u2068", "\u2069")  # around a value, until HTML writes <bdi> for them and plain text leaves them out
_RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})


def is_right_to_left(locale: str) -> bool:
    """Of the languages that are written from right to left in their usual script (CLDR)."""
    return locale.replace("_", "-").split("-")[0].lower() in _RIGHT_TO_LEFT


def without_isolates(text: str) -> str:
    """As plain text shows it: many clients show isolates as boxes."""
    before, after = ISOLATES
    return text.replace(before, "").replace(after, "") if before in text else text


def is_known(locale: str) -> bool:
    """Whether CLDR has this locale."""
    from babel import Locale, UnknownLocaleError

    try:
        Locale.parse(_name(locale))
    except (UnknownLocaleError, ValueError, TypeError):
        return False
    return True


@functools.lru_cache(maxsize=_REMEMBERED)
def number(value: float, locale: str) -> str:
    """1200 is 1,200 in English and 1.200 in German; two decimals at most, none that say nothing."""
    from babel.numbers import format_decimal  # loaded for whom reads another language than English

    return _visible(format_decimal(round(value, _MOST_DECIMALS), locale=_name(locale), decimal_quantization=False))


@functools.lru_cache(maxsize=_REMEMBERED)
def percent(share: float, locale: str) -> str:
    """0.125 is 12.5% in English and 12,5 % in German, with a space that doesn't break."""
    from babel.numbers import format_percent

    return _visible(format_percent(round(share, _MOST_DECIMALS + 2), locale=_name(locale), decimal_quantization=False))


@functools.lru_cache(maxsize=_REMEMBERED)
def money(amount: float, currency: str, locale: str) -> str:
    """An amount in a currency (ISO 4217): €1,200 in English, 1.200 € in German. Decimals as the currency has them, none where the
    amount is whole."""
    from babel.numbers import format_currency

    written = format_currency(amount, currency, locale=_name(locale))
    if float(amount).is_integer():
        written = format_currency(amount, currency, _without_decimals(locale), _name(locale), currency_digits=False)
    return _visible(written)


@functools.lru_cache(maxsize=64)
def _without_decimals(locale: str) -> str:
    from babel import Locale

    return Locale.parse(_name(locale)).currency_formats["standard"].pattern.replace("0.00", "0")


@functools.lru_cache(maxsize=_REMEMBERED)
def day(value: date, locale: str) -> str:
    """March 2, 2026 in English; 2. März 2026 in German; 1er mars 2026 in French, whose first of a month CLDR writes as 1."""
    from babel.dates import format_date

    written = _visible(format_date(value, "long", locale=_name(locale)))
    is_first = value.day == 1 and _name(locale).split("_")[0].lower() == "fr"
    return re.sub(r"^1\b", "1er", written) if is_first else written


@functools.lru_cache(maxsize=_REMEMBERED)
def plural(value: float, locale: str) -> str:
    """The form that a noun takes beside this number: zero, one, two, few, many or other (CLDR's plural categories)."""
    from babel import Locale

    return Locale.parse(_name(locale)).plural_form(round(value, _MOST_DECIMALS))


def _name(locale: str) -> str:
    return locale.replace("-", "_")


def _visible(text: str) -> str:
    """Without marks of direction and other characters that nobody sees."""
    return text if text.isascii() else "".join(char for char in text if unicodedata.category(char) != "Cf")
