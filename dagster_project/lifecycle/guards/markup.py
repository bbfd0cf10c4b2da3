"""Markup: text is text. No tags, entities, Markdown, or marks of a template language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage

CODES = ("markup", "template_marks")
_MARKUP = re.compile(r"[<>]|&(?:#\w+|[a-z]\w*);|\]\s*[(\[]|\]\s*:|!\[|\*\*|__|`|~~|^\s*#", re.IGNORECASE | re.MULTILINE)
_TEMPLATE = re.compile(r"[{}]|\[\[|\]\]|<%|%>|\$\(|#set\b", re.IGNORECASE)


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:  # noqa: ARG001  as all guards
    """HTML, Markdown; and what a template engine would obey."""
    for found in _TEMPLATE.finditer(passage.plain):
        yield passage.finding("template_marks", *found.span(), f"{found[0]!r} belongs to a template's language")
    for found in _MARKUP.finditer(passage.plain):
        yield passage.finding("markup", *found.span(), f"{found[0]!r} is markup")
