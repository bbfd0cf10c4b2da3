"""templates/inspection.yml: the mail clients that count, and what is accepted although a tool objects. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dagster_project.lifecycle.inspection.specimen import Finding, Specimen

FILE = "templates/inspection.yml"
Tool = Literal["mjml", "caniemail", "axe", "spamassassin"]
Word = Annotated[str, StringConstraints(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """What an inspection comes to: findings that stand; one line per entry that accepts nothing any more; one row per accepted rule
    (tool, feature, found where it is found most widely, reason)."""

    standing: Sequence[tuple[Specimen, Finding]]
    unused: Sequence[str]
    accepted: Sequence[Mapping[str, str]]


class Accepted(_Strict):
    """Rules of one tool that the templates break on purpose, for one reason."""

    tool: Tool
    features: Annotated[tuple[Word, ...], Field(min_length=1)] = Field(description="the tool's words for the rules")
    reason: Annotated[str, StringConstraints(min_length=20)] = Field(
        description="why the mail is none the worse for it"
    )


class Declared(_Strict):
    """The whole file."""

    clients: Annotated[tuple[Word, ...], Field(min_length=1)] = Field(description="caniemail's names or globs")
    max_spam_score: float = Field(
        description="SpamAssassin's points that a mail stays below; most servers take 5 for spam"
    )
    accepted: tuple[Accepted, ...] = ()

    def judged(self, found: Iterable[tuple[Specimen, Finding]]) -> Judged:
        """The findings that stand, those that are accepted, and the entries that accept nothing any more."""
        reasons = {(entry.tool, feature): entry.reason for entry in self.accepted for feature in entry.features}
        standing: list[tuple[Specimen, Finding]] = []
        accepted: dict[tuple[str, str], Finding] = {}
        for specimen, finding in found:
            rule = (finding.tool, finding.code)
            if rule not in reasons:
                standing.append((specimen, finding))
            elif rule not in accepted or len(accepted[rule].found) < len(finding.found):
                accepted[rule] = finding
        unused = [
            f"{FILE}: accepted: found {tool} {feature}, allowed: what some mail still shows; remove the entry"
            for tool, feature in reasons
            if (tool, feature) not in accepted
        ]
        rows = [
            {"tool": tool, "feature": feature, "found": accepted[tool, feature].found, "reason": reason}
            for (tool, feature), reason in reasons.items()
            if (tool, feature) in accepted
        ]
        return Judged(standing, unused, rows)
