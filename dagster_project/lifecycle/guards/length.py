"""Length: nothing empty, nothing longer than its place."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage

CODES = ("empty", "over_length")


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:  # noqa: ARG001  as all guards
    """In characters, as written; with placeholders in it, once more when they are filled."""
    if not passage.text.strip():
        yield Finding("empty", passage.name, 0, len(passage.text), "says nothing")
    elif passage.max_chars is not None and len(passage.text) > passage.max_chars:
        sentence = f"has {len(passage.text)} characters; allowed: {passage.max_chars}"
        yield Finding("over_length", passage.name, passage.max_chars, len(passage.text), sentence)
