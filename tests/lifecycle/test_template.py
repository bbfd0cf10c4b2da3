"""Facts are untrusted data; these tests hold what of them a template gets to see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.template import (
    FactSpec,
    TemplateSpec,
    canonical,
    clean,
    display,
    pick_locale,
    prepare_facts,
    shorten,
)

NAME = FactSpec(type="text", max_chars=20)


@pytest.mark.parametrize(
    ("received", "shown"),
    [
        ("Ana", "Ana"),
        ("  Ana  Maria ", "Ana Maria"),
        ("Ana\r\nBcc: x@y.example", "Ana Bcc: x@y.example"),
        ("Ana\u2028Maria", "Ana Maria"),
        ("\u202eanA\u202c", "anA"),
        ("A\u200bna\ufeff", "Ana"),
        ("A\x00n\x1ba", "Ana"),
        ("Ana\U000e0041\U000e0042", "Ana"),
        ("Ana \ud800", "Ana"),
        ("A\u200cna", "Ana"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
    ],
)
def test_a_text_is_one_line_of_visible_characters(received: str, shown: str) -> None:
    """Joiners stay between letters beyond ASCII, where Persian needs them."""
    assert clean(received) == shown


@given(st.text())
def test_cleaning_ends_in_one_encodable_line(text: str) -> None:
    """And cleaning twice changes nothing more."""
    cleaned = clean(text)

    assert cleaned.encode("utf-8") == clean(cleaned).encode("utf-8")
    assert len(cleaned.splitlines()) <= 1


@given(st.text(), st.integers(min_value=1, max_value=80))
def test_shortening_never_exceeds_its_limit(text: str, limit: int) -> None:
    """What fits is left alone."""
    short = shorten(text, limit)

    assert len(short) <= limit
    assert short == text or short.endswith("…")


def test_what_is_cut_ends_at_a_word() -> None:
    """A name cut in the middle of a word looks like a mistake."""
    assert shorten("Harbor and Vine Trading Company", 20) == "Harbor and Vine…"


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "3"), (1200, "1,200"), (2.5, "2.5"), (3.0, "3"), (1234.567, "1,234.57"), ("3", "3")]
)
def test_numbers_read_as_americans_write_them(value: float, shown: str) -> None:
    """Thousands with a comma, no needless zeros."""
    assert display(value) == shown


def test_facts_become_words_by_their_type() -> None:
    """Numbers stay numbers, so that a template can compare them."""
    specs = {
        "first_name": NAME,
        "seats": FactSpec(type="number"),
        "trial_ends_on": FactSpec(type="date"),
        "share": FactSpec(type="percent"),
        "plan": FactSpec(type="text"),
    }
    facts = {"first_name": "Ana", "seats": 10, "trial_ends_on": "2026-03-04 00:00:00", "share": 0.425, "more": 1}

    prepared = prepare_facts("t", specs, facts)

    assert prepared == {
        "first_name": "Ana",
        "seats": 10,
        "trial_ends_on": "March 4, 2026",
        "share": "42.5%",
        "plan": None,
    }


@pytest.mark.parametrize(
    ("type_", "value", "allowed"),
    [
        ("text", 3, "a string"),
        ("number", "3", "a number"),
        ("number", True, "a number"),
        ("number", float("nan"), "a number"),
        ("number", float("inf"), "a number"),
        ("date", "soon", "a date like 2026-03-14"),
        ("date", 20260314, "a date like 2026-03-14"),
        ("percent", "42%", "a number"),
        ("text", ["a"], "a string"),
    ],
)
def test_a_fact_of_the_wrong_type_is_named(type_: str, value: object, allowed: str) -> None:
    """One line: which fact, what was found, what is allowed."""
    specs = {"fact": FactSpec.model_validate({"type": type_, "to_model": "public"})}

    with pytest.raises(InputError) as error:
        prepare_facts("templates/emails/x/default", specs, {"fact": value})

    assert str(error.value) == f"templates/emails/x/default: fact fact: found {value!r}, allowed: {allowed} or null"


def test_an_error_never_shows_a_personal_value() -> None:
    """Errors end in logs."""
    with pytest.raises(InputError) as error:
        prepare_facts("t", {"first_name": NAME}, {"first_name": {"secret": "Ana"}})

    assert "Ana" not in str(error.value)


def test_a_required_fact_may_not_be_missing() -> None:
    """Null, absent and empty are the same: nothing to print."""
    specs = {"plan": FactSpec(type="text", required=True)}

    for facts in ({}, {"plan": None}, {"plan": " \u200b "}):
        with pytest.raises(InputError, match="fact plan: found null, allowed: a text"):
            prepare_facts("t", specs, facts)


@pytest.mark.parametrize(
    "name", ["https://evil.example", "Win! www.evil.example", "evil.example/win", "javascript:alert"]
)
def test_a_name_that_is_a_link_is_no_name(name: str) -> None:
    """Else anyone could have us mail their link to anyone."""
    assert prepare_facts("t", {"first_name": NAME}, {"first_name": name}) == {"first_name": None}


def test_a_company_named_like_a_domain_keeps_its_name() -> None:
    """Many are."""
    assert prepare_facts("t", {"n": NAME}, {"n": "Harbor.example"}) == {"n": "Harbor.example"}


@pytest.mark.parametrize(
    ("asked", "got"),
    [("de", "de"), ("de-AT", "de"), ("pt_BR", "pt-BR"), ("ja", "en"), (None, "en"), ("", "en"), ("EN", "en")],
)
def test_a_locale_falls_back_to_its_language_and_then_to_the_first(asked: str | None, got: str) -> None:
    """The draft says what the person gets, which need not be what they asked for."""
    assert pick_locale(asked, ("en", "de", "pt-BR")) == got


def test_canonical_bytes_hash_to_the_content_hash() -> None:
    """Artifacts are found by the hashes that recipes name."""
    mapping = {"b": 1, "a": "é"}

    assert content_hash(canonical(mapping)) == content_hash(mapping)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"facts": {"cta": {"type": "text"}}}, "facts: found cta"),
        ({"slots": {"s": {"description": "d", "max_chars": 9, "placeholders": ["nobody"]}}}, "slots.s.placeholders"),
        (
            {
                "facts": {"plan": {"type": "text"}},
                "slots": {"s": {"description": "d", "max_chars": 9, "must_include": ["plan"]}},
            },
            "slots.s.must_include",
        ),
        ({"ctas": {"main": {"label": "Go", "url": "http://plain.example"}}}, "ctas.main.url"),
        ({"ctas": {"main": {"label": "Go", "url": "https://x.example/{{ first_name }}"}}}, "ctas.main.url"),
        ({"why": "Two\nlines"}, "why"),
        ({"locales": []}, "locales"),
        ({"subject": "here"}, "subject"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    """The key is in the message."""
    with pytest.raises(ValidationError, match=message):
        TemplateSpec.model_validate({"tone": "plain", "why": "Because."} | change)
