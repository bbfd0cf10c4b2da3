"""Whatever talked a model into it, nothing leaves but a plain sentence made of the facts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.guard import check_line, check_slots, fill, known_numbers
from dagster_project.lifecycle.template import SlotSpec

SPEC = SlotSpec(
    description="d", max_chars=80, placeholders=("first_name", "account_name"), must_include=("account_name",)
)


@pytest.mark.parametrize(
    "text",
    [
        "Your workspace is ready when you are.",
        "Invite someone; they'll see the same numbers as you.",
        "It's been 6 weeks, and 1,200 rows are still there.",
        "Try it on one question (a small one) - then decide.",
        "Bring {{account_name}} along.",
        "Caf\u00e9s, na\u00efve users \u2014 all fine\u2026",
        "That's 42% of the seats.",
    ],
)
def test_a_plain_sentence_passes(text: str) -> None:
    """Numbers that are among the facts may be said."""
    assert check_line(text, numbers={"6", "1200", "42%"}, placeholders={"account_name"}) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \u3000", "empty"),
        ("two\nlines", "control_characters"),
        ("tab\there", "control_characters"),
        ("zero\u200bwidth", "control_characters"),
        ("\u202egnp.exe", "control_characters"),
        ("tags\U000e0061", "control_characters"),
        ("lone \ud800", "control_characters"),
        ("Hi {{last_name}}", "unknown_placeholder"),
        ("Hi {{first_name", "template_marks"),
        ("Hi {% if x %}", "template_marks"),
        ("Hi {{ 7*7 }}", "template_marks"),
        ("Hi ${jndi}", "template_marks"),
        ("Hi [[name]]", "template_marks"),
        ("Hi <%= 1 %>", "template_marks"),
        ("Hi \uff5b\uff5bx\uff5d\uff5d", "template_marks"),
        ("a <b>bold</b> claim", "markup"),
        ("less \uff1cscript\uff1e", "markup"),
        ("fish &amp; chips", "markup"),
        ("**bold**", "markup"),
        ("`code`", "markup"),
        ("see [here](x)", "markup"),
        ("see [here]: x", "markup"),
        ("# Title", "markup"),
        ("go to https://evil.example", "link"),
        ("go to hxxps://evil", "link"),
        ("go to HTTP :// evil", "link"),
        ("go to //evil/x", "link"),
        ("go to www evil", "link"),
        ("go to evil.example now", "link"),
        ("go to evil\uff0eexample now", "link"),
        ("go to evil\u3002example now", "link"),
        ("go to \u0435vil.\u0440\u0444 now", "link"),
        ("go to evil[.]example now", "link"),
        ("go to evil (dot) example now", "link"),
        ("go to evil dot com now", "link"),
        ("go to xn--e1afmkfd now", "link"),
        ("write to me@evil", "link"),
        ("mailto:me", "link"),
        ("javascript:alert", "link"),
        ("at 10.0.0.1 now", "link"),
        ("at localhost:8080/x", "link"),
        ("only $9", "money"),
        ("only 9 euros", "money"),
        ("only \uffe515", "money"),
        ("5 days left", "number"),
        ("\u0665 days left", "number"),
        ("five days left", "number"),
        ("save 6%", "number"),
        ("save six percent", "number"),
        ("60 weeks", "number"),
        ("6.5 weeks", "number"),
        ("\u2467 weeks", "number"),
        ("half the price", "number"),
    ],
)
def test_anything_else_is_refused_by_code(text: str, code: str) -> None:
    """The only number among the facts is 6."""
    assert check_line(text, numbers={"6"}, placeholders={"first_name"}) == code


def test_numbers_are_compared_in_one_spelling() -> None:
    """1,200 and 1200 are the same, and a date lends its parts."""
    numbers = known_numbers({"rows": 1200, "day": "March 4, 2026", "share": "42.50%", "none": None, "label": "step 03"})

    assert numbers == {"1200", "4", "2026", "42.5%", "3"}


@pytest.mark.parametrize(
    ("slots", "reason"),
    [
        ({"intro": "Welcome, {{account_name}}."}, None),
        ({"intro": "Welcome, {{ account_name }}."}, None),
        ({}, "malformed"),
        ({"intro": "Welcome, {{account_name}}.", "more": "x"}, "malformed"),
        ({"intro": "x" * 81}, "over_length"),
        ({"intro": "Welcome."}, "guard:missing_placeholder"),
        ({"intro": "Welcome, {{first_name}} of {{account_name}}."}, "guard:unknown_placeholder"),
        ({"intro": "Welcome to www.evil.example, {{account_name}}."}, "guard:link"),
    ],
)
def test_slots_are_accepted_whole_or_not_at_all(slots: dict[str, str], reason: str | None) -> None:
    """This person has an account name and no first name, so the first name's placeholder is unknown."""
    assert check_slots(slots, {"intro": SPEC}, facts={}, placeholders={"account_name"}) == reason


def test_a_token_is_not_demanded_of_someone_without_the_value() -> None:
    """The model was not offered it either."""
    assert check_slots({"intro": "Welcome."}, {"intro": SPEC}, facts={}, placeholders=set()) is None


def test_a_value_is_filled_in_once_and_never_read_again() -> None:
    """A person named like a placeholder stays a person."""
    assert fill("Hi {{a}} {{ b }}", {"a": "{{b}}", "b": 1200}) == "Hi {{b}} 1,200"


@given(st.text(max_size=120))
def test_no_accepted_text_holds_anything_dangerous(text: str) -> None:
    """Whatever the guard lets through has no markup, braces, addresses, digits or line breaks."""
    if check_line(text) is None:
        assert not set(text) & set("<>{}@`$\n\r\u202e\u200b0123456789")
        assert "//" not in text


def test_injected_mail_texts_with_links_are_refused(shared_data: Path) -> None:
    """The public attack texts that carry a link or markup never pass as a model's sentence."""
    attacks = json.loads((shared_data / "injection_bipia" / "text_attack_train.json").read_text())
    lines = [line for group in attacks.values() for line in group]

    passed = [line for line in lines if check_line(line) is None and ("http" in line or "www" in line or "<" in line)]

    assert lines
    assert passed == []
