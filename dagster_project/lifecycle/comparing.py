"""What two revisions decide differently, told per campaign: from rows that differ to counts and people. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster_project.lifecycle.errors import InputError

_LIMIT = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(%?)")
_IN_THE_MAIL = ("facts", "variant", "locale", "message_type", "channel")
_TOLD_ELSEWHERE = ("verdict", "reason", "reasons_all", "winner_message_id")


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """How many people of one campaign may differ: a number, or a percentage of its audience in the base."""

    text: str
    number: float
    is_share: bool

    def is_passed(self, people: int, audience: int) -> bool:
        """Are these more than allowed? Of an audience of nobody, anybody is."""
        return people > (self.number / 100 * audience if self.is_share else self.number)


def parse_limit(text: str) -> Limit:
    """`50` or `5%`; InputError for anything else."""
    found = _LIMIT.fullmatch(text.strip())
    if found is None or (not found[2] and "." in found[1]):
        raise InputError(f"--fail-over {text}: allowed is a number of people such as 50, or a percentage such as 5%")
    return Limit(text.strip(), float(found[1]), is_share=bool(found[2]))


def compare(rows: Iterable[Mapping[str, Any]], changed_prefix: str) -> dict[str, dict[str, Any]]:
    """campaign -> `people` (all who differ), `entered`, `left` (lists of people with counts of verdicts), `verdicts` (changes of
    those who stay, most first), `rewritten` (message_ids whose words may differ) and `other`: by column, how many people whose
    verdict stands differ in it."""
    by_campaign: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_campaign.setdefault(row["campaign_id"], []).append(row)
    return {campaign: _campaign(found, changed_prefix) for campaign, found in by_campaign.items()}


def nothing() -> dict[str, Any]:
    """The comparison of a campaign that decides the same for everybody."""
    return _campaign([], "")


def _campaign(rows: Sequence[Mapping[str, Any]], changed_prefix: str) -> dict[str, Any]:
    entered = [row for row in rows if not row["is_in_base"]]
    left = [row for row in rows if not row["is_in_head"]]
    stayed = [row for row in rows if row["is_in_base"] and row["is_in_head"]]
    other: dict[str, set[str]] = {}
    for row in stayed:
        if _said(row, "base") == _said(row, "head"):
            for name, value in row.items():
                column = name.removeprefix(changed_prefix)
                if name != column and value and column not in _TOLD_ELSEWHERE:
                    other.setdefault(column, set()).add(row["user_id"])
    return {
        "people": sorted({row["user_id"] for row in rows}),
        "entered": _side(entered, "head"),
        "left": _side(left, "base"),
        "verdicts": _changes(stayed),
        "rewritten": [
            row["message_id"] for row in stayed if any(row.get(f"{changed_prefix}{name}") for name in _IN_THE_MAIL)
        ],
        "other": {column: len(people) for column, people in sorted(other.items())},
    }


def _side(rows: Sequence[Mapping[str, Any]], side: str) -> dict[str, Any]:
    return {
        "people": sorted({row["user_id"] for row in rows}),
        "verdicts": dict(Counter(_said(row, side) for row in rows).most_common()),
    }


def _said(row: Mapping[str, Any], side: str) -> str:
    """`hold (outside_window)`; `not a candidate` for an occasion that this side doesn't see."""
    verdict, reason = row[f"{side}_verdict"], row[f"{side}_reason"]
    if verdict is None:
        return "not a candidate"
    return verdict if verdict == "send" else f"{verdict} ({reason})"


def _changes(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """From what to what, whose they are, and to which campaigns they lost or had lost."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        said = _said(row, "base"), _said(row, "head")
        if said[0] != said[1] or row["base_winner"] != row["head_winner"]:
            found.setdefault(said, []).append(row)
    return [
        {
            "from": before,
            "to": after,
            "people": sorted({row["user_id"] for row in changed}),
            "lost_to_before": _winners(changed, "base_winner"),
            "loses_to_now": _winners(changed, "head_winner"),
        }
        for (before, after), changed in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _winners(rows: Iterable[Mapping[str, Any]], key: str) -> dict[str, int]:
    return dict(Counter(row[key] for row in rows if row[key] is not None).most_common())


def over(limit: Limit | None, campaigns: Iterable[Mapping[str, Any]]) -> list[str]:
    """The campaigns of a comparison in which more people differ than allowed."""
    return [
        one["campaign_id"]
        for one in campaigns
        if limit is not None and limit.is_passed(len(one["people"]), one["base"]["people"])
    ]
