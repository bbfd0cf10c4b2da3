"""Templates get a small language: what it lacks cannot go wrong."""

from __future__ import annotations

import pytest

from dagster_project.adapters.expressions import Expression, check_expressions, expand_slots
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.template import TemplateSpec

SPEC = TemplateSpec.model_validate(
    {
        "tone": "plain",
        "why": "Because.",
        "slots": {"intro": {"description": "d", "max_chars": 60}},
        "ctas": {"main": {"label": "Go", "url": "https://x.example"}},
    }
)
NAMES = {"first_name", "seats", "cta", "slots"}


@pytest.mark.parametrize(
    ("source", "values", "words"),
    [
        ('Hi {{ first_name or "there" }}', {"first_name": None}, "Hi there"),
        ("{{ seats }} seats", {"seats": 1200}, "1,200 seats"),
        ('{{ seats|plural("seat") }}', {"seats": 1}, "1 seat"),
        ('{{ seats|plural("person", "people") }}', {"seats": 2}, "2 people"),
        ('{{ seats|plural("day") }}', {"seats": 0}, "0 days"),
        ("{{ first_name|short(6) }}", {"first_name": "Anastasia"}, "Anast…"),
        ("{{ first_name|upfirst }}", {"first_name": "connect Slack"}, "Connect Slack"),
        (
            "{% if seats - 1 > 2 and not first_name %}a{% elif seats == 3 %}b{% else %}c{% endif %}",
            {"seats": 3, "first_name": None},
            "b",
        ),
    ],
)
def test_facts_become_words(source: str, values: dict[str, object], words: str) -> None:
    """Defaults for null, plurals, shortening, arithmetic on numbers."""
    check_expressions(source, "f", SPEC, NAMES)

    assert Expression(source, "f", is_html=False).render(values) == words


def test_html_is_escaped_and_text_is_not() -> None:
    """One value, two kinds of part."""
    values = {"first_name": '<b>"Ana"</b> & {{ seats }}'}

    assert Expression("{{ first_name }}", "f", is_html=True).render(values) == (
        "&lt;b&gt;&#34;Ana&#34;&lt;/b&gt; &amp; {{ seats }}"
    )
    assert Expression("{{ first_name }}", "f", is_html=False).render(values) == values["first_name"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("line\n{{ nobody }}", "f:2: found nobody, allowed: cta, first_name, seats, slots"),
        ("{{ first_name|safe }}", "f:1: found filter safe, allowed: plural, short, upfirst"),
        ("{{ first_name|e }}", "f:1: found filter e, allowed: "),
        ("{{ first_name.__class__ }}", "f:1: found a path, allowed: cta.<id>.label, cta.<id>.url"),
        ("{{ first_name['x'] }}", "f:1: found a path"),
        ("{{ cta.other.url }}", "f:1: found cta.other, allowed: main"),
        ("{{ cta.main.href }}", "f:1: found a path"),
        ("{{ slots['other'] }}", "f:1: found an unknown slot, allowed: intro"),
        ("{{ first_name.upper() }}", "f:1: found call, allowed: expressions, if, slot"),
        ("{{ range(9) }}", "f:1: found call"),
        ("{% include 'x' %}", "f:1: found include"),
        ("{% extends 'x' %}", "f:1: found extends"),
        ("{% import 'x' as y %}", "f:1: found import"),
        ("{% for x in seats %}{{ x }}{% endfor %}", "f:1: found for"),
        ("{% set x = 1 %}", "f:1: found assign"),
        ("{% macro m() %}{% endmacro %}", "f:1: found macro"),
        ("{% autoescape false %}{% endautoescape %}", "f:1: found scope"),
        ("{{ seats * 9 }}", "f:1: found mul"),
        ("\n\n{% if %}", "f:3: Expected an expression, got 'end of statement block'"),
        ("{{ first_name", "f:1: unexpected end of template"),
        ("{% endslot %}", "f:1: Encountered unknown tag 'endslot'."),
    ],
)
def test_what_is_not_allowed_is_named_with_its_line(source: str, message: str) -> None:
    """Before anything is rendered."""
    with pytest.raises(InputError) as error:
        check_expressions(source, "f", SPEC, NAMES)

    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("source", "values", "message"),
    [
        (
            "ok\n{{ first_name }}",
            {"first_name": None},
            "f:2: a null fact would be printed; give it a default with `or`",
        ),
        ("{{ first_name }}", {}, "f:1: 'first_name' is undefined"),
        ("{{ seats - 1 }}", {"seats": None}, "f:1: unsupported operand"),
        ("\n\n{{ seats|plural('x') }}", {"seats": None}, "f:3: a null fact would be printed"),
    ],
)
def test_a_value_that_cannot_be_printed_is_an_error_with_its_line(
    source: str, values: dict[str, object], message: str
) -> None:
    """A mail that says "None" is worse than no mail."""
    with pytest.raises(InputError) as error:
        Expression(source, "f", is_html=False).render(values)

    assert str(error.value).startswith(message)


def test_a_slot_keeps_its_own_words_until_a_text_comes() -> None:
    """Both ways through the same template."""
    source = expand_slots("{% slot intro %}Hi {{ first_name }}{% endslot %}!", SPEC, "f")
    check_expressions(source, "f", SPEC, NAMES)
    expression = Expression(source, "f", is_html=True)

    assert expression.render({"first_name": "Ana", "slots": {"intro": None}}) == "Hi Ana!"
    assert expression.render({"first_name": "Ana", "slots": {"intro": "<i>"}}) == "&lt;i&gt;!"


def test_an_unknown_slot_is_named_with_its_line() -> None:
    """A slot is declared in template.yml first."""
    with pytest.raises(InputError, match="f:2: found slot other, allowed: intro"):
        expand_slots("\n{% slot other %}x{% endslot %}", SPEC, "f")
