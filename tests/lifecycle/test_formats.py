"""Numbers, percentages, money and dates as each locale writes them, and nothing in them that nobody sees."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle import formats
from dagster_project.lifecycle.template import FactSpec, display, prepare_facts

LOCALES = ("en", "de", "fr", "es", "ja", "ar")


@pytest.mark.parametrize(
    ("locale", "number", "percent", "money", "day"),
    [
        ("en", "1,234.5", "12.5%", "€1,200", "March 2, 2026"),
        ("de", "1.234,5", "12,5\u00a0%", "1.200\u00a0€", "2. März 2026"),
        ("fr", "1\u202f234,5", "12,5\u00a0%", "1\u202f200\u00a0€", "2 mars 2026"),
        ("es", "1.234,5", "12,5\u00a0%", "1.200\u00a0€", "2 de marzo de 2026"),
        ("ja", "1,234.5", "12.5%", "€1,200", "2026年3月2日"),
        ("ar", "1,234.5", "12.5%", "1,200\u00a0€", "2 مارس 2026"),
    ],
)
def test_each_locale_has_its_own_way(locale: str, number: str, percent: str, money: str, day: str) -> None:
    """As CLDR has them; digits are 0 to 9 also in Arabic."""
    assert formats.number(1234.5, locale) == number
    assert formats.percent(0.125, locale) == percent
    assert formats.money(1200, "EUR", locale) == money
    assert formats.day(date(2026, 3, 2), locale) == day


def test_the_first_of_a_month_is_an_ordinal_in_french() -> None:
    """And no other day; 1 and 11 are written as they are elsewhere."""
    assert [formats.day(date(2026, 10, day), "fr-CA") for day in (1, 11)] == ["1er octobre 2026", "11 octobre 2026"]
    assert formats.day(date(2026, 10, 1), "es") == "1 de octubre de 2026"


@given(
    value=st.floats(-1e9, 1e9, allow_nan=False),
    locale=st.sampled_from((*LOCALES, "he", "fa", "pt-BR", "de-AT")),
    day=st.dates(),
)
def test_nothing_that_is_formatted_holds_a_character_that_nobody_sees(value: float, locale: str, day: date) -> None:
    """CLDR puts marks of direction beside signs in Arabic and Hebrew; guards refuse them, for they turn text round."""
    for text in (
        formats.number(value, locale),
        formats.percent(value, locale),
        formats.money(value, "USD", locale),
        formats.day(day, locale),
    ):
        assert not [char for char in text if not (char.isprintable() or char in "\u00a0\u202f")], ascii(text)
        assert any(char.isdigit() for char in text)


def test_facts_are_words_of_the_locale() -> None:
    """Dates, percentages and money at once, numbers where they are printed, and known values by the spec's words."""
    said = {
        "on": {"type": "date"},
        "share": {"type": "percent"},
        "price": {"type": "money", "currency": "EUR"},
        "seats": {"type": "number"},
        "feature": {"type": "text", "values": {"reports": "Berichte"}},
    }
    specs = {name: FactSpec.model_validate(spec) for name, spec in said.items()}
    facts = {"on": "2026-03-02", "share": 0.5, "price": 9.5, "seats": 1200, "feature": "reports"}

    assert prepare_facts("f", specs, facts, "de") == {
        "on": "2. März 2026",
        "share": "50\u00a0%",
        "price": "9,50\u00a0€",
        "seats": 1200,
        "feature": "Berichte",
    }
    assert prepare_facts("f", specs, facts | {"feature": "Something new"}, "de")["feature"] == "Something new"
    assert [display(1200, locale) for locale in LOCALES] == ["1,200", "1.200", "1\u202f200", "1.200", "1,200", "1,200"]


def test_money_has_a_currency_and_nothing_else_has() -> None:
    """Nor has a number a list of values."""
    for wrong in (
        {"type": "money"},
        {"type": "number", "currency": "EUR"},
        {"type": "money", "currency": "euro"},
        {"type": "number", "values": ["a"]},
    ):
        with pytest.raises(ValueError, match=r"currency|values"):
            FactSpec.model_validate(wrong)


def test_arabic_and_hebrew_are_read_from_right_to_left() -> None:
    """Whatever their region."""
    assert [name for name in (*LOCALES, "ar-EG", "he", "fa", "de-AT") if formats.is_right_to_left(name)] == [
        "ar", "ar-EG", "he", "fa",
    ]  # fmt: skip
    assert formats.is_known("pt-BR")
    assert not formats.is_known("xx")
