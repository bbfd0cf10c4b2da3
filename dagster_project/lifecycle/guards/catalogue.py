"""Every guard there is, in the order in which their findings are told: the first names the reason for a fallback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from dagster_project.lifecycle.guards import (
    characters,
    claims,
    dates,
    homographs,
    language,
    length,
    links,
    markup,
    money,
    names,
    numbers,
    phrases,
    placeholders,
    prompt,
    readability,
    repetition,
    tone,
    wording,
)
from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage

Guard = Callable[[Passage, Grounds], Iterator[Finding]]

SAFETY: Mapping[str, Guard] = {
    "length": length.find,
    "characters": characters.find,
    "placeholders": placeholders.find,
    "markup": markup.find,
    "links": links.find,
    "homographs": homographs.find,
    "prompt": prompt.find,
    "money": money.find,
    "dates": dates.find,
    "numbers": numbers.find,
    "claims": claims.find,
    "names": names.find,
    "phrases": phrases.find,
}
STYLE: Mapping[str, Guard] = {
    "language": language.find,
    "tone": tone.find,
    "readability": readability.find,
    "repetition": repetition.find,
    "wording": wording.find,
}
GUARDS: Mapping[str, Guard] = {**SAFETY, **STYLE}
AUTHORS: Mapping[str, Guard] = {"phrases": phrases.find, **STYLE}  # an author may promise; nobody may write badly


def findings(
    passages: Iterable[Passage], grounds: Grounds, guards: Mapping[str, Guard] = GUARDS
) -> tuple[Finding, ...]:
    """What the guards say of all passages, safety before style. Empty for a text that may go out."""
    passages = tuple(passages)
    return tuple(found for guard in guards.values() for passage in passages for found in guard(passage, grounds))
