"""A person's change to a draft: the same words replaced in both parts, everything else left as it was."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.guards.catalogue import findings
from dagster_project.lifecycle.guards.reading import Grounds, Passage, Phrases, phrases_of
from dagster_project.lifecycle.message import Draft, content_hash
from dagster_project.lifecycle.template import SUBJECT_MAX_CHARS

TEMPLATE_MARKS = ("{{", "}}", "{%", "%}")  # the content gate stops a whole tick for one of these: refused here already


def edited(
    draft: Draft,
    subject: str | None,
    replacements: Sequence[tuple[str, str]],
    *,
    facts: Mapping[str, object],
    phrases: Mapping[str, Phrases],
) -> Draft:
    """The draft with a new subject and with old words replaced by new ones in its HTML and its text.

    New words are text: what looks like markup is shown, not obeyed. They pass the guards that a model's words pass; what `facts` or
    the draft say may be said. InputError when old words are not in both parts, when the subject isn't one line of at most 78
    characters, when new words hold a template's marks or a guard objects, or when the unsubscribe link would go.
    """
    if subject is not None and (not subject.strip() or not subject.isprintable() or len(subject) > SUBJECT_MAX_CHARS):
        raise InputError(f"--subject {subject!r}: allowed is one line of 1 to {SUBJECT_MAX_CHARS} characters")
    for option, words in (("--subject", subject or ""), *(("--replace", new) for _, new in replacements)):
        if mark := next((mark for mark in TEMPLATE_MARKS if mark in words), None):
            raise InputError(f"{option} {words!r}: {mark} would go out as it stands; allowed are finished words")
    if subject is not None:
        _guard("--subject", subject, draft, facts, phrases)
    body, text = draft.html, draft.text
    for old, new in replacements:
        if not old or html.escape(old) not in body or old not in text:
            raise InputError(
                f"--replace {old!r}: not found in both parts; allowed are words that stand in HTML and text"
            )
        if new:
            _guard("--replace", new, draft, facts, phrases)
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


def _guard(option: str, words: str, draft: Draft, facts: Mapping[str, object], phrases: Mapping[str, Phrases]) -> None:
    grounds = Grounds(
        locale=draft.locale,
        facts={name: value for name, value in facts.items() if isinstance(value, str | int | float)},
        own_words=f"{draft.subject}\n{draft.preheader}\n{draft.text}",
        phrases=phrases_of(phrases, draft.locale),
    )
    if found := findings([Passage(option, words, one_line=False)], grounds):
        allowed = "words that its facts, its template or the draft have"
        raise InputError(f"{option} {words!r}: {found[0].code}: {found[0].sentence}; allowed are {allowed}")
