"""The first thing wrong in a file is said in one line, whatever the model."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import Field

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.strict import StrictModel, allowed_text, parse_strictly


class Book(StrictModel):
    """One book on a shelf."""

    title: str = Field(min_length=1, description="a text. On the spine")
    pages: int | None = Field(None, ge=1, description="a number from 1, or null. Without the covers")


class Shelf(StrictModel):
    """Books by place."""

    books: tuple[Book, ...] = Field(description="a list of books. From left to right")
    labels: dict[str, int] = Field(default_factory=dict, description="a mapping of words to numbers. On the wood")


def refusal(raw: object) -> str:
    """What a shelf's file is told."""
    with pytest.raises(InputError) as refused:
        parse_strictly(Shelf, raw, "shelf.yml", "shelf")
    return str(refused.value)


def test_a_good_file_becomes_a_model() -> None:
    """Lists become tuples; nothing else is converted."""
    shelf = parse_strictly(Shelf, {"books": [{"title": "Emma"}]}, "shelf.yml", "shelf")

    assert shelf == Shelf(books=(Book(title="Emma", pages=None),))


def test_a_list_is_walked_to_the_item() -> None:
    """The place counts from 0, as in the error lines of YAML tools."""
    raw = {"books": [{"title": "Emma"}, {"title": "Ulysses", "pages": 0}]}

    assert refusal(raw) == "shelf.yml: shelf.books[1].pages: found 0, allowed is a number from 1, or null"


def test_an_unknown_key_goes_before_a_missing_one() -> None:
    """It is nearly always the same mistake."""
    raw = {"books": [{"tilte": "Emma"}]}

    assert refusal(raw) == (
        "shelf.yml: shelf.books[0]: found unknown key 'tilte' (did you mean 'title'?), allowed are title, pages"
    )


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"books": [], "labels": {None: "a"}}, "labels.None: found 'a', allowed is a mapping of words to numbers"),
        (
            {"books": [], "labels": {date(2026, 9, 1): 0.5}},
            "labels.2026-09-01: found 0.5, allowed is a mapping of words to numbers",
        ),
        ({"books": date(2026, 9, 1)}, "books: found '2026-09-01', allowed is a list of books"),
    ],
)
def test_what_only_yaml_can_hold_is_shown_as_text(raw: object, line: str) -> None:
    """YAML reads a bare date as a date, and allows any value for a key."""
    assert refusal(raw) == f"shelf.yml: shelf.{line}"


@pytest.mark.parametrize("character", ["\n", "\r", "\u2028", "\x85", "\x1b", "\u202e"])
def test_a_line_stays_a_line(character: str) -> None:
    """A value can't break the line, colour the terminal or turn the text around."""
    lines = [
        refusal({"books": [], "labels": {f"a{character}b": "x"}}),
        refusal({"books": [], f"a{character}b": 1}),
        refusal({"books": {"a": f"a{character}b"}}),
        refusal({"books": [f"a{character}b"]}),
    ]

    assert [line for line in lines if not line.isprintable()] == []


def test_a_long_value_is_cut() -> None:
    """Sixty characters are enough to find it in the file."""
    assert refusal({"books": "x" * 1000}) == f"shelf.yml: shelf.books: found '{'x' * 59}…, allowed is a list of books"


def test_what_is_allowed_is_the_first_sentence_of_the_description() -> None:
    """One text for the error line and for the editor."""
    assert allowed_text(Book, "pages") == "a number from 1, or null"
