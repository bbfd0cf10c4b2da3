"""Placeholders: those offered, spelled exactly so, and every one that must be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dagster_project.lifecycle import formats
from dagster_project.lifecycle.guards.reading import PLACEHOLDER, Finding, Grounds, Passage
from dagster_project.lifecycle.redaction import TOKEN
from dagster_project.lifecycle.template import SOURCE_LOCALE, display

CODES = ("unknown_placeholder", "missing_placeholder")


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Tokens that this person has no value for or that don't exist, marks of a redaction, and required ones that are missing."""
    used = set()
    for found in PLACEHOLDER.finditer(passage.text):
        used.add(found[1])
        if found[1] not in passage.may_use:
            allowed = ", ".join(sorted(passage.may_use)) or "none"
            yield Finding(
                "unknown_placeholder", passage.name, *found.span(), f"{found[0]} is no placeholder; allowed: {allowed}"
            )
    for found in TOKEN.finditer(passage.plain):
        if found[0] not in grounds.own_words:
            yield passage.finding(
                "unknown_placeholder", *found.span(), f"{found[0]} stands for words that were taken out"
            )
    for name in sorted(passage.must_use - used):
        end = len(passage.text)
        yield Finding("missing_placeholder", passage.name, end, end, f"{{{{{name}}}}} is missing")


def fill(text: str, values: Mapping[str, str | float | None], locale: str = SOURCE_LOCALE) -> str:
    """Each placeholder replaced once by its value; what a value itself contains is never looked at again.

    From right to left each value stands between `formats.ISOLATES`, which only what renders the text may see: no guard lets a model
    write them.
    """
    before, after = formats.ISOLATES if formats.is_right_to_left(locale) else ("", "")
    return PLACEHOLDER.sub(lambda match: f"{before}{display(values[match[1]] or '', locale)}{after}", text)
