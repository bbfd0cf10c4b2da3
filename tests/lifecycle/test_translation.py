"""Marks for translation: what a translator is given, and the same file in other words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.translation import (
    PLURAL_FORM,
    Catalogue,
    Language,
    Message,
    form_of,
    isolated,
    messages,
    translated,
    unmarked,
)

AR = "n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5"


def catalogue(words: dict[str, tuple[str, ...]], locale: str = "de", plural: str = "n != 1") -> Catalogue:
    return Catalogue(Language(locale, plural), f"templates/locales/{locale}.po", words)


def rendered(source: str, values: dict[str, object], plural: str = "n != 1") -> str:
    environment = Environment(autoescape=True)
    environment.filters[PLURAL_FORM] = form_of(plural)
    return environment.from_string(source).render(values)


def test_a_translator_sees_named_placeholders_and_what_they_are() -> None:
    """Of a plural both forms and what is counted."""
    source = "{% trans days=days_away|short(9), who=name %}{{ who }} is {{ days }} day{% pluralize days %}{{ who }}: {{ days }} days{% endtrans %}"

    assert messages(source, "f", is_html=False) == [
        Message(
            "%(who)s is %(days)s day",
            "%(who)s: %(days)s days",
            "days",
            "f",
            "days: days_away|short(9), who: name",
        )
    ]


def test_text_and_html_are_one_message() -> None:
    """Whichever apostrophe, entity or blanks; a tag around one placeholder alone belongs to it."""
    text = "{% trans %}It's until {{ day }} & then.{% endtrans %}"
    html = "{% trans %}It\u2019s until\n  <strong>{{ day }}</strong> &amp; then.{% endtrans %}"

    assert messages(text, "f", is_html=False) == messages(html, "f", is_html=True)
    words = catalogue({"It's until %(day)s & then.": ("%(day)s & Schluss.",)})
    assert translated(text, "f", words, is_html=False) == "{{ day }} & Schluss."
    assert translated(html, "f", words, is_html=True) == "<strong>{{ day }}</strong> &amp; Schluss."


def test_without_a_catalogue_the_words_are_the_author_s() -> None:
    """To the letter, with the expressions that the mark gave names to."""
    source = "A {% trans n=account|short(3) %}It\u2019s {{ n }}.{% endtrans %} B"

    assert translated(source, "f", None, is_html=True) == "A It\u2019s {{ account|short(3) }}. B"


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "لا"), (1, "واحد"), (2, "اثنان"), (3, "3 قليل"), (11, "11 كثير"), (100, "100 آخر"), (103, "103 قليل")],
)
def test_arabic_has_six_plural_forms(count: int, said: str) -> None:
    """The rule is that of its catalogue."""
    source = "{% trans n=days %}{{ n }} day{% pluralize %}{{ n }} days{% endtrans %}"
    forms = ("لا", "واحد", "اثنان", "%(n)s قليل", "%(n)s كثير", "%(n)s آخر")

    made = translated(source, "f", catalogue({"%(n)s day": forms}, "ar", AR), is_html=False)

    assert rendered(made, {"days": count}, AR) == said


def test_japanese_has_one_form_and_no_blank_between_sentences() -> None:
    """One form needs no choice."""
    source = "{% trans n=days %}{{ n }} day.{% pluralize %}{{ n }} days.{% endtrans %} {% if x %}{% trans %}Bye.{% endtrans %}{% endif %}"
    words = catalogue({"%(n)s day.": ("%(n)s日です。",), "Bye.": ("では。",)}, "ja", "0")

    assert translated(source, "f", words, is_html=False) == "{{ days }}日です。{% if x %}では。{% endif %}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x\n{% trans %}Hi", "f:2: found {% trans alone"),
        ("{% trans %}{% endtrans %}", "f:1: found no words in trans"),
        ("{% trans %}{{ name }}{% endtrans %}", "f:1: found no words in trans"),
        ("{% trans %}Hi {{ name|short(3) }}{% endtrans %}", "f:1: found {{ name|short(3) }} in trans"),
        ("{% trans %}Hi {% if x %}you{% endif %}{% endtrans %}", "f:1: found a statement in trans"),
        ("{% trans %}Hi <b>you</b>{% endtrans %}", "f:1: found <b> in trans"),
        ("{% trans %}Hi <b>{{ name }} you</b>{% endtrans %}", "f:1: found <b> in trans"),
        ("{% trans a %}Hi{% endtrans %}", "f:1: found a in trans"),
        ("{% trans %}day{% pluralize %}days{% endtrans %}", "f:1: found no count in trans"),
        ("{% trans n=a %}a{% pluralize %}b{% pluralize %}c{% endtrans %}", "f:1: found two pluralize"),
    ],
)
def test_a_mark_that_is_none_is_one_line(source: str, found: str) -> None:
    """File, line, what was found."""
    with pytest.raises(InputError) as error:
        messages(source, "f", is_html=True)

    assert str(error.value).startswith(found)


@pytest.mark.parametrize("words", ["%(other)s", "{{ config }}", "{% if x %}", "{# x #}"])
def test_a_translation_brings_no_expression(words: str) -> None:
    """Not even one that Jinja would take: it is refused when it is compiled, whoever has reviewed it."""
    with pytest.raises(InputError, match=r"templates/locales/de\.po: 'Hi %\(name\)s': found "):
        translated("{% trans %}Hi {{ name }}{% endtrans %}", "f", catalogue({"Hi %(name)s": (words,)}), is_html=False)


@given(words=st.text(min_size=1, max_size=60).filter(lambda text: not {"{", "}", "%", "#"} & set(text)))
def test_whatever_a_translation_says_is_text_in_html(words: str) -> None:
    """No tag, no entity of its own."""
    made = translated("{% trans %}Hi{% endtrans %}", "f", catalogue({"Hi": (words,)}), is_html=True)

    assert "<" not in made
    assert ">" not in made


def test_what_is_filled_in_is_isolated_from_right_to_left() -> None:
    """Values, but not attributes, statements, the title, or the author's own words."""
    source = '<mj-title>{{ subject }}</mj-title>{% if a < 1 %}<a href="{{ cta.main.url }}">{{ cta.main.label }}</a>{% endif %}{{ name }}{{ why }}'

    assert isolated(source) == source.replace("{{ name }}", "<bdi>{{ name }}</bdi>")


def test_words_without_a_mark_are_found() -> None:
    """With their line; names of slots, attributes and what a mark is around are none."""
    source = '<p class="x">{% trans %}Hi{% endtrans %}\nyou</p>\n{{ a or "there" }} {{ slots["opening"] }} {{ b|short(3) }} 1:'

    assert unmarked(source) == [(2, "you"), (3, "there")]
