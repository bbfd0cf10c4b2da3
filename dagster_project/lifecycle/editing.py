"""A person's change to a draft: the same words replaced in both parts, everything else left as it was."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Draft, content_hash
from dagster_project.lifecycle.template import SUBJECT_MAX_CHARS

TEMPLATE_MARKS = ("{{", "}}", "{%", "%}")  # the content gate stops a whole tick for one of these: refused here already


def edited(draft: Draft, subject: str | None, replacements: Sequence[tuple[str, str]]) -> Draft:
    """The draft with a new subject and with old words replaced by new ones in its HTML and its text.

    New words are text: what looks like markup is shown, not obeyed. InputError when old words are not in both
    parts, when the subject isn't one line of at most 78 characters, when new words hold a template's marks, or when the
    unsubscribe link would go.
    """
    if subject is not None and (not subject.strip() or not subject.isprintable() or len(subject) > SUBJECT_MAX_CHARS):
        raise InputError(f"--subject {subject!r}: allowed is one line of 1 to {SUBJECT_MAX_CHARS} characters")
    for option, words in (("--subject", subject or ""), *(("--replace", new) for _, new in replacements)):
        if mark := next((mark for mark in TEMPLATE_MARKS if mark in words), None):
            raise InputError(f"{option} {words!r}: {mark} would go out as it stands; allowed are finished words")
    body, text = draft.html, draft.text
    for old, new in replacements:
        if not old or html.escape(old) not in body or old not in text:
            raise InputError(
                f"--replace {old!r}: not found in both parts; allowed are words that stand in HTML and text"
            )
        body, text = body.replace(html.escape(old), html.escape(new)), text.replace(old, new)
    if draft.unsubscribe_url and not (html.escape(draft.unsubscribe_url) in body and draft.unsubscribe_url in text):
        raise InputError("--replace: the unsubscribe link would be gone; it must stay in both parts")
    return dataclasses.replace(
        draft,
        subject=draft.subject if subject is None else subject.strip(),
        html=body,
        text=text,
        recipe={
            **draft.recipe,
            "edit": content_hash({"subject": subject, "replacements": [list(r) for r in replacements]}),
        },
    )
