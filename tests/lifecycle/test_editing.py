"""A person's edit changes the words named and nothing else."""

from __future__ import annotations

import pytest

from dagster_project.lifecycle.editing import edited
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Draft

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
    changed = edited(DRAFT, "Bye", [("Fish & chips", "Soup <hot>")])

    assert changed.subject == "Bye"
    assert "<p>Soup &lt;hot&gt;</p>" in changed.html
    assert changed.text.startswith("Soup <hot>\n")
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
        edited(DRAFT, subject, replacements)
