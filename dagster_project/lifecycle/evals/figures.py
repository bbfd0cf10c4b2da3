"""What became of the fixed contexts: counted per campaign, mode and locale, and in all. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

from dagster_project.lifecycle.drafting import Batch
from dagster_project.lifecycle.evals.contexts import Case
from dagster_project.lifecycle.pipeline import REPAIRED
from dagster_project.lifecycle.planning import ReviewedPolicy, routes
from dagster_project.lifecycle.roles.call import Answer, Question
from dagster_project.lifecycle.roles.reviewer import RUBRICS, read_scores

Heard = Sequence[tuple[Question, Answer]]  # every call of a case, in its order
MEASURES = (*RUBRICS, "by_model", "rejections", "repairs", "fallbacks", "to_person", "calls", "tokens", "dollars")
_PLACES = 4  # of shares and means: enough to compare, few enough to read


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """The calls of one role. What a server doesn't tell is None, and so is any sum with it."""

    calls: int = 0
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    dollars: Decimal | None = Decimal(0)
    seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.calls + other.calls,
            _sum(self.tokens_in, other.tokens_in),
            _sum(self.tokens_out, other.tokens_out),
            None if self.dollars is None or other.dollars is None else self.dollars + other.dollars,
            self.seconds + other.seconds,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "dollars": None if self.dollars is None else float(self.dollars),
            "seconds_per_call": round(round(self.seconds, 6) / self.calls, _PLACES)
            if self.calls
            else None,  # whatever the order
        }


@dataclasses.dataclass(frozen=True)
class Figures:
    """Contexts are counted by the mail that they got, rejections and scores by the texts that were read."""

    contexts: int = 0
    patterns: int = 0  # distinct texts that were asked for
    by_model: int = 0  # contexts whose mail has a model's words
    texts: int = 0  # written, repairs included
    repairs: int = 0  # contexts whose words are those of the second try
    fallbacks: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: Counter[str] = dataclasses.field(default_factory=Counter)  # contexts that could not be drafted at all
    to_person: Counter[str] = dataclasses.field(default_factory=Counter)
    rejections: Counter[str] = dataclasses.field(default_factory=Counter)
    scores: Mapping[str, Counter[int]] = dataclasses.field(default_factory=dict)  # rubric -> score -> texts
    roles: Mapping[str, Spent] = dataclasses.field(default_factory=dict)

    def __add__(self, other: Self) -> Figures:
        return Figures(
            self.contexts + other.contexts,
            self.patterns + other.patterns,
            self.by_model + other.by_model,
            self.texts + other.texts,
            self.repairs + other.repairs,
            self.fallbacks + other.fallbacks,
            self.failures + other.failures,
            self.to_person + other.to_person,
            self.rejections + other.rejections,
            {name: self.scores.get(name, Counter()) + other.scores.get(name, Counter()) for name in RUBRICS},
            {
                role: self.roles.get(role, Spent()) + other.roles.get(role, Spent())
                for role in sorted({*self.roles, *other.roles})
            },
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "contexts": self.contexts,
            "patterns": self.patterns,
            "by_model": self.by_model,
            "texts": self.texts,
            "scores": {name: _mean(self.scores.get(name, Counter())) for name in RUBRICS},
            "rejections": dict(sorted(self.rejections.items())),
            "repairs": self.repairs,
            "fallbacks": dict(sorted(self.fallbacks.items())),
            "to_person": dict(sorted(self.to_person.items())),
            "not_drafted": dict(sorted(self.failures.items())),
            "roles": {role: spent.as_json() for role, spent in sorted(self.roles.items())},
            "measures": self.measures(),
        }

    def measures(self) -> dict[str, float | None]:
        """One number per name that a threshold may be set for. None: there is nothing to measure, or a server didn't tell."""
        spent = sum(self.roles.values(), Spent())
        tokens = _sum(spent.tokens_in, spent.tokens_out)
        return {
            **{name: _mean(self.scores.get(name, Counter())) for name in RUBRICS},
            "by_model": _share(self.by_model, self.contexts),
            "rejections": _share(self.rejections.total(), self.texts),
            "repairs": _share(self.repairs, self.contexts),
            "fallbacks": _share(self.fallbacks.total(), self.contexts),
            "to_person": _share(self.to_person.total(), self.contexts),
            "calls": float(spent.calls),
            "tokens": None if tokens is None else float(tokens),
            "dollars": None if spent.dollars is None else round(float(spent.dollars), 6),
        }


def counted(case: Case, policy: ReviewedPolicy, batch: Batch, patterns: int, heard: Heard, contexts: int) -> Figures:
    """What became of the contexts of one case, as the product drafted and would route them."""
    by_role: dict[str, Spent] = {}
    scores = {name: Counter[int]() for name in RUBRICS}
    for question, answer in heard:
        by_role[question.role] = by_role.get(question.role, Spent()) + Spent(
            answer.cost.calls, answer.tokens_in, answer.tokens_out, answer.cost.dollars, answer.seconds
        )
        if question.role == "reviewer" and answer.content is not None and (read := read_scores(answer.content)):
            for name, one in read.items():
                scores[name][one.score] += 1
    cautions = {one.message_id: one.caution for one in batch.drafts if one.caution}
    drafted = [_Routed(one.message_id, case.campaign_id) for one in batch.drafts]
    routed = routes(drafted, {case.campaign_id: policy}, (), cautions)
    return Figures(
        contexts=contexts,
        patterns=patterns,
        by_model=sum(one.mode != "template" for one in batch.drafts),
        texts=sum(question.role == "writer" and answer.content is not None for question, answer in heard),
        repairs=sum(one.caution == REPAIRED for one in batch.drafts),
        fallbacks=Counter(one.fallback_reason for one in batch.drafts if one.fallback_reason),
        failures=Counter(batch.failures.values()),
        to_person=Counter(one.reason for one in routed.values() if one.to == "in_review"),
        rejections=Counter(batch.rejections),
        scores=scores,
        roles=by_role,
    )


def rows(found: Mapping[Case, Figures]) -> list[dict[str, Any]]:
    """One row per case, in order."""
    return [dataclasses.asdict(case) | figures.as_json() for case, figures in sorted(found.items())]


def in_all(found: Iterable[Figures]) -> dict[str, Any]:
    return sum(found, Figures()).as_json()


@dataclasses.dataclass(frozen=True, slots=True)
class _Routed:
    message_id: str
    campaign_id: str


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, _PLACES) if whole else None


def _mean(scores: Counter[int]) -> float | None:
    return round(sum(score * texts for score, texts in scores.items()) / scores.total(), _PLACES) if scores else None
