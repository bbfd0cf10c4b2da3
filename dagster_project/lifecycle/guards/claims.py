"""Claims: "free", "guaranteed", "the fastest". A court holds a company to what its machine promised (2024 BCCRT 149)."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, occurrences

CODE = "claim"


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """The brand's claims and superlatives, where neither facts nor author make them."""
    for kind, phrases in (("a promise", grounds.phrases.claims), ("a superlative", grounds.phrases.superlatives)):
        for found in occurrences(phrases, passage, grounds):
            if not grounds.say(found.words):
                yield passage.finding(CODE, found.start, found.end, f"{found.words!r} is {kind} that no fact makes")
