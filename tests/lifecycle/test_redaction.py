"""A user's words before a model may see them: nothing that is known of this person stays, and little that looks personal."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dagster_project.lifecycle.redaction import Span, author_words, redact, redacted_facts
from dagster_project.lifecycle.template import TemplateSpec


def mails(text: str) -> list[Span]:
    """As little as a pattern can know: what has an @."""
    return [Span(*found.span(), "email") for found in re.finditer(r"\S+@\S+", text)]


@dataclasses.dataclass(frozen=True)
class Person:
    """Whom a message is for."""

    message_id: str = "9f3cab12"
    user_id: str = "u_00041"
    account_id: str | None = "acct-77"
    email: str = "juergen.weissflog@nordwind-optik.example"
    facts: Mapping[str, object] = dataclasses.field(
        default_factory=lambda: {
            "first_name": "Jürgen",
            "account_name": "Nordwind Optics",
            "next_step": "share a report",
            "plan": "team",
        }
    )


SPEC = TemplateSpec.model_validate(
    {
        "tone": "plain",
        "why": "Because.",
        "facts": {
            "first_name": {"type": "text"},
            "account_name": {"type": "text", "to_model": "never"},
            "plan": {"type": "text", "to_model": "public"},
            "ticket": {"type": "text", "to_model": "redact", "max_chars": 60},
        },
    }
)


def quoted(text: str, **facts: object) -> str:
    person = Person()
    person = dataclasses.replace(person, facts={**person.facts, **facts, "ticket": text})
    return redacted_facts(SPEC, person, mails, author_words("Ledgerline turns numbers into reports"))["ticket"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("export of jürgen fails", "export of [first_name] fails"),
        ("export of JURGEN'S file fails", "export of [first_name] file fails"),
        ("export of Ju\u0308rgen fails", "export of [first_name] fails"),
        ("ju\u200brgen cannot sign in", "[first_name] cannot sign in"),
        ("\uff4a\uff55\uff52\uff47\uff45\uff4e cannot sign in", "[first_name] cannot sign in"),
        ("juergen cannot sign in", "[name] cannot sign in"),
        ("weissflog is not in our team", "[name] is not in our team"),
        ("the logo of nordwind-optics is old", "the logo of [account_name] is old"),
        ("nordwind pays, not optik", "[account_name] pays, not [name]"),
        ("juergen.weissflog@nordwind-optik.example has no mail", "[email] has no mail"),
        ("why is acct-77 closed", "why is [id] closed"),
        ("is u_00041 or 9f3cab12 mine", "is [id] or [id] mine"),
        ("i cannot share a report", "i cannot [next_step]"),
        ("the export stops at 10,000 rows", "the export stops at [number] rows"),
        ("please call +49 (0)30 90182-0", "please call [number]"),
        ("invoice R-2026/00017 is wrong", "invoice [number] is wrong"),
        ("the report of Marie Dupont is empty", "the report of [name] is empty"),
        ("Marie Dupont has no access", "[name] has no access"),
        ("ask Dr. Jansen or J. R. Okoro", "ask [name] or [name]"),
        ("Export to CSV fails", "Export to CSV fails"),
        ("No Reports in Ledgerline", "No Reports in Ledgerline"),
        ("the team plan is too small", "the team plan is too small"),
    ],
)
def test_what_is_personal_is_taken_out_and_the_rest_is_left(text: str, left: str) -> None:
    """Known values in any spelling; numbers; capitals that the author doesn't use. What a model may see anyway stays."""
    assert quoted(text) == left


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        ("陽子", "陽子さんのレポート", "[first_name]さんのレポート"),
        ("翔", "翔は入れません", "[first_name]は入れません"),
        ("علي", "وعلي لا يستطيع الدخول", "و[first_name] لا يستطيع الدخول"),
        ("O'Brien", "the report of obrien", "the report of [first_name]"),
        ("Zoë", "Zoes Bericht ist leer", "[first_name] Bericht ist leer"),
        ("Bo", "Bo cannot sign in, both tries failed", "[first_name] cannot sign in, both tries failed"),
    ],
)
def test_a_name_is_found_as_its_script_writes_it(name: str, text: str, left: str) -> None:
    """Joined to other words where its script joins words, with a genitive, without its sign; not inside another word."""
    assert quoted(text, first_name=name).replace("[name]", "Bericht") == left


def test_half_an_address_is_never_quoted() -> None:
    """Redacted first, cut then."""
    text = quoted("x" * 50 + " " + "somebody.else@mail.example")

    assert len(text) <= 60
    assert "somebody" not in text


@pytest.mark.parametrize("text", ["1" * 10**6, "a" * 10**6, "1 " * 10**6, "A " * 10**6, "@ " * 10**6])
def test_a_million_characters_take_no_longer_than_a_thousand(text: str) -> None:
    """What a text's length costs is bounded; nothing after it is shown."""
    started = time.process_time()

    assert len(quoted(f"help {text}")) <= 60
    assert time.process_time() - started < 2


NAMES = st.text(st.characters(categories=["Lu", "Ll", "Lo"], include_characters="-' "), min_size=3, max_size=20).filter(
    lambda name: sum(map(str.isalpha, name)) > 2 and name.strip() == name
)


@given(NAMES, st.sampled_from(["{} cannot sign in", "why does ({}) see nothing", "it is “{}”", "a,{},b", "{}"]))
def test_a_known_name_never_stays(name: str, sentence: str) -> None:
    """Whatever letters it is made of, whatever signs stand around it, as it is or in capitals."""
    for spelled in (name, name.upper()):
        left = redact(sentence.format(spelled), [(name, "first_name")], mails)

        assert spelled.casefold() not in left.casefold()
        assert "[first_name]" in left


@given(st.text(max_size=120), st.lists(st.text(min_size=1, max_size=12), max_size=4))
def test_no_text_breaks_it_and_no_digit_leaves(text: str, names: list[str]) -> None:
    """Any characters at all."""
    left = redact(text, [(name, "name") for name in names], mails)

    assert not re.search(r"\d", left)


def test_a_template_that_redacts_must_know_whom_it_is_for() -> None:
    """Name and company are what is looked for in the text."""
    facts = {"first_name": {"type": "text"}, "ticket": {"type": "text", "to_model": "redact"}}

    with pytest.raises(ValidationError, match=r"facts\.ticket\.to_model: found redact without the fact account_name"):
        TemplateSpec.model_validate({"tone": "t", "why": "w", "facts": facts})


def test_only_words_are_redacted() -> None:
    """A number has buckets."""
    with pytest.raises(ValidationError, match="found redact for a number, allowed: for a text"):
        TemplateSpec.model_validate({"tone": "t", "why": "w", "facts": {"n": {"type": "number", "to_model": "redact"}}})
