"""Phrases that the brand forbids, that filters punish, or that a regulator wants a disclosure for."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, occurrences

CODES = ("banned", "spam", "regulated", "machine", "generic")


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Banned ones always; the others unless the author says them in the template."""
    lists = grounds.phrases
    for found in occurrences(lists.banned, passage, grounds):
        yield passage.finding("banned", found.start, found.end, f"{found.words!r} is never said")
    for code, phrases, why in (
        ("spam", lists.spam, "is counted against a mail by filters"),
        ("machine", lists.machine, "is how a machine speaks of itself"),
        ("generic", lists.generic, "says nothing"),
    ):
        for found in occurrences(phrases, passage, grounds):
            if not grounds.say(found.words):
                yield passage.finding(code, found.start, found.end, f"{found.words!r} {why}")
    for name, phrases in lists.regulated.items():
        if name not in grounds.classes:
            for found in occurrences(phrases, passage, grounds):
                sentence = f"{found.words!r} is {name} wording, and this campaign carries no {name} disclosure"
                yield passage.finding("regulated", found.start, found.end, sentence)
