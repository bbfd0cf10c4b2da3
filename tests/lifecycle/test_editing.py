"""A person's edit changes the words named and nothing else."""

from __future__ import annotations

import re

import pytest

from dagster_project.lifecycle.editing import edited
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.guards.reading import Phrases
from dagster_project.lifecycle.message import Draft

FACTS = {"first_name": "Ana", "weeks": 6, "is_new": True, "plan": None}
PHRASES = {"en": Phrases(claims=("free",))}
LINK = "https://mail.example/u/abc"
DRAFT = Draft(
    message_id="m1",
    mode="template",
    mode_asked="template",
    fallback_reason=None,
    locale="en",
    subject="Hello",
    preheader="",
    html=f"<p>Fish &amp; chips</p><a href='{LINK}'>unsubscribe</a>",
    text=f"Fish & chips\n{LINK}",
    unsubscribe_url=LINK,
    recipe={"template": "t"},
)


def test_words_are_replaced_in_both_parts_and_the_hash_changes() -> None:
    """The HTML part holds its words escaped; a person types them plain."""
    changed = edited(DRAFT, "Bye", [("Fish & chips", "Soup & more")], facts={}, phrases={})

    assert changed.subject == "Bye"
    assert "<p>Soup &amp; more</p>" in changed.html
    assert changed.text.startswith("Soup & more\n")
    assert changed.draft_hash != DRAFT.draft_hash
    assert set(changed.recipe) == {"template", "edit"}


@pytest.mark.parametrize(
    ("subject", "replacements"),
    [
        (None, [("not there", "x")]),
        (None, [("", "x")]),
        (None, [(LINK, "")]),
        ("", []),
        ("two\nlines", []),
        ("x" * 79, []),
    ],
)
def test_an_edit_that_would_break_the_mail_is_refused(subject: str | None, replacements: list[tuple[str, str]]) -> None:
    """Unknown words, an unsubscribe link gone, a subject that isn't one short line."""
    with pytest.raises(InputError):
        edited(DRAFT, subject, replacements, facts={}, phrases={})


@pytest.mark.parametrize(
    ("subject", "new", "words"),
    [
        (
            "Save 20% now",
            "Soup",
            "--subject 'Save 20% now': number: '20%' is in no fact; allowed are words that its facts",
        ),
        (None, "Soup <hot>", "markup"),
        (None, "Soup for free", "claim: 'free' is a promise that no fact makes"),
        (None, "see www.evil.example", "link"),
        (None, "soup for Bob", "name: 'Bob' looks like a name"),
    ],
)
def test_a_persons_words_pass_the_guards_that_a_models_pass(subject: str | None, new: str, words: str) -> None:
    """Whoever writes: what no fact holds isn't said, and nothing but words is."""
    with pytest.raises(InputError, match=re.escape(words)):
        edited(DRAFT, subject, [("Fish & chips", new)], facts=FACTS, phrases=PHRASES)


def test_what_the_facts_or_the_draft_say_may_be_said_by_a_person() -> None:
    """A number of the facts, a name of the draft."""
    changed = edited(DRAFT, "Hello Ana: 6 weeks", [("Fish & chips", "Chips")], facts=FACTS, phrases=PHRASES)

    assert changed.subject == "Hello Ana: 6 weeks"
