"""A template in one of its locales with sample facts, and what was found in it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from dagster_project.lifecycle import formats
from dagster_project.lifecycle.guards.reading import language_of
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.template import FactSpec, TemplateSpec

_BY_TYPE: Mapping[str, object] = {
    "text": "Sample",
    "number": 12,
    "date": "2026-09-14",
    "percent": 0.125,
    "money": 1250.0,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Specimen:
    """One template, variant and locale: the finished mail of sample facts, and the MJML it was compiled from, its Jinja hidden."""

    campaign_id: str
    variant: str
    folder: str  # as an error names it
    draft: Draft
    mjml: str

    @property
    def name(self) -> str:
        """One word for files and for the answers of tools."""
        return f"{self.campaign_id}.{self.variant}.{self.draft.locale}"

    @property
    def is_right_to_left(self) -> bool:
        return formats.is_right_to_left(self.draft.locale)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a tool objects to: the tool, its word for the rule, what it found, what is allowed; `where` may be empty."""

    tool: str
    code: str
    found: str
    allowed: str
    where: str = ""


def sample_facts(spec: TemplateSpec, samples: Mapping[str, object], locale: str) -> dict[str, object]:
    """A value for each fact: that of `samples` (by locale or language where it is a mapping), else the first that the product says
    there, else one of the fact's type."""
    return {name: _sample(fact, samples.get(name), locale) for name, fact in spec.facts.items()}


def _sample(fact: FactSpec, sample: object, locale: str) -> object:
    if isinstance(sample, Mapping):
        sample = sample.get(locale, sample.get(language_of(locale), sample.get("default")))
    if sample is not None:
        return sample
    return next(iter(fact.values)) if fact.values else _BY_TYPE[fact.type]


def told(folder: str, found: Iterable[Finding]) -> list[str]:
    """One line per finding in this folder, or place in it."""
    return [f"{folder}: {_rule(finding)}: found {finding.found}, allowed: {finding.allowed}" for finding in found]


def told_together(found: Iterable[tuple[Specimen, Finding]]) -> list[str]:
    """One line per finding and template; the locales that share it are named together."""
    together: dict[tuple[str, Finding], list[str]] = {}
    for specimen, finding in found:
        locales = together.setdefault((specimen.folder, finding), [])
        if specimen.draft.locale not in locales:
            locales.append(specimen.draft.locale)
    return [
        line
        for (folder, finding), locales in together.items()
        for line in told(f"{folder} ({', '.join(locales)})", [finding])
    ]


def _rule(finding: Finding) -> str:
    return f"{finding.tool} {finding.code} {finding.where}".rstrip()
