"""Back-checks: what can be told of a translation by looking at it."""

from __future__ import annotations

import pytest

from dagster_project.lifecycle.backcheck import problems
from dagster_project.lifecycle.translation import Language, Message

DE, JA = Language("de", "n != 1"), Language("ja", "0")
AR = Language("ar", "n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5")
HI = Message("Hi %(name)s, your 3 reports are still here.")
DAYS = Message("%(days)s day of %(name)s", "%(days)s days of %(name)s", "days")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("Hallo %(name)s, Ihre 3 Berichte sind noch da.", ""),
        ("Hallo, Ihre 3 Berichte sind noch da.", "found no %(name)s"),
        ("Hallo %(name)s %(plan)s, Ihre 3 Berichte sind noch da.", "found %(plan)s"),
        ("Hallo %(name)s, Ihre Berichte sind noch da.", "found no 3"),
        ("Hallo %(name)s, Ihre 3 von 4 Berichten sind noch da.", "found 4"),
        ("Hallo %(name)s, <b>Ihre</b> 3 Berichte sind noch da.", "'<' is markup"),
        ("Hallo %(name)s, Ihre 3 {{ x }} sind noch da.", "found { in"),
        ("Hallo %(name)s, Ihre 3 Berichte sind auf evil.example noch da.", "evil.example"),
        ("Hallo %(name)s, Ihre 3 Berichte\u202e sind noch da.", "nobody sees"),
        ("Hallo %(name)s, Ihre 3 Berichte sind noch da." + " Wirklich." * 8, "characters"),
        ("Hi %(name)s, your 3 reports are all still here.", "reads as en and not as de"),
        (" ", "found no words"),
    ],
)
def test_a_translation_is_looked_at(words: str, said: str) -> None:
    """Placeholders, numbers, markup, links, hidden characters, length, language."""
    found = problems(HI, [words], DE)

    assert said in " ".join(found) if said else found == [], found


def test_every_plural_form_must_be_there() -> None:
    """As many as the locale's rule has."""
    assert problems(DAYS, ["%(days)s Tag von %(name)s"], DE) == ["found 1 plural forms, allowed: 2"]
    assert problems(DAYS, ["%(name)sの%(days)s日"], JA) == []


def test_a_form_that_is_said_of_one_number_may_leave_it_out() -> None:
    """Arabic says "two days" in one word; of eleven it needs the number."""
    forms = ["لا أيام لدى %(name)s", "يوم لدى %(name)s", "يومان لدى %(name)s", *["%(days)s أيام لدى %(name)s"] * 3]

    assert problems(DAYS, forms, AR) == []
    assert "found no %(days)s" in " ".join(problems(DAYS, [*forms[:3], *["أيام لدى %(name)s"] * 3], AR))
    assert "found no %(name)s" in " ".join(problems(DAYS, ["لا أيام", *forms[1:]], AR))


def test_a_button_has_its_own_bound() -> None:
    """And a name in Latin letters doesn't make a Japanese welcome English."""
    assert problems(Message("Go", max_chars=5), ["Weiter"], DE)
    assert problems(Message("Welcome to Ledgerline"), ["Ledgerlineへようこそ"], JA) == []
    assert problems(Message("Welcome to Ledgerline"), ["A warm welcome to Ledgerline"], JA)
