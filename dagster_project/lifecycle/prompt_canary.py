"""A new prompt or model on a share of the patterns, until it is known: who is drawn, when it stops itself, what its arms show. Pure.

It changes who is asked and in which words. What a text may say is decided by the same guards, facts and classes in both arms.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from dagster_project.lifecycle.bucket import hash_bucket
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.pipeline import DOUBT, Outcome
from dagster_project.lifecycle.roles.call import AT_ONCE, OUT_OF_TIME, OVER_BUDGET, Ask, Role
from dagster_project.lifecycle.roles.writer import WriterRequest, WriterResult
from dagster_project.lifecycle.strict import StrictModel, contradiction, parse_strictly

FILE = "templates/prompts/canary.yml"
Write = Callable[[Mapping[str, WriterRequest], Ask], Outcome]  # `pipeline.written`, for one campaign's project
CANARY, STANDING = "canary", "standing"
STOPPED = "canary_stopped:"  # begins why a pattern that was drawn was written by the standing prompts and models
_NOT_ITS_FAULT = frozenset({OVER_BUDGET, OUT_OF_TIME, "no_model", "no_letter", "not_asked"})
_SHARE = "a share from 0 to 1"


class Most(StrictModel):
    """Shares of the canary's own patterns; with more it stops itself."""

    rejected: float = Field(ge=0, le=1, description=f"{_SHARE}. Of patterns whose text was turned down at least once")
    fell_back: float = Field(ge=0, le=1, description=f"{_SHARE}. Of patterns that got the template's words")


class PromptCanary(StrictModel):
    """templates/prompts/canary.yml: what is tried, on whom, and when it is too bad to go on."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{2,40}$", description="snake_case of 3 to 41 characters. Another name draws anew"
    )
    share: float = Field(gt=0, le=0.5, description="a share above 0, at most 0.5. Of the patterns")
    campaigns: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = Field(
        default=(), description="a list of campaign_ids. Empty: all"
    )
    prompts: dict[Role, Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]*\.md$")]] = Field(
        default_factory=dict, description=f"a mapping of {', '.join(get_args(Role))} to files beside this one"
    )
    model: str | None = Field(default=None, min_length=1, description="the name of a model, or null. Null: the same")
    most: Most = Field(description="a mapping of rejected and fell_back. With more it stops itself")
    least_patterns: int = Field(
        ge=1, le=10_000, description="a number of patterns from 1 to 10000. Before so many nothing stops it"
    )
    difference: float = Field(
        gt=0, lt=1, description="a share above 0 and below 1. The smallest difference of the arms that is worth finding"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.prompts and self.model is None:
            raise contradiction("prompts", {}, "a prompt where no model is named: else there is nothing to try")
        return self

    def concerns(self, campaign_id: str) -> bool:
        return not self.campaigns or campaign_id in self.campaigns

    def draws(self, request: WriterRequest) -> bool:
        """By the pattern alone, so that whoever shares it, today and tomorrow, is in the same arm."""
        return hash_bucket(f"canary:{self.name}", request.pattern) < self.share

    def stopped(self, fates: Mapping[str, Fate]) -> str | None:
        """Why it goes on no longer: a machine word with the bound that was passed. None: it goes on."""
        tried = len(fates)
        if tried < self.least_patterns:
            return None
        for name in ("rejected", "fell_back"):
            found = sum(getattr(fate, name) for fate in fates.values())
            if found > getattr(self.most, name) * tried:
                return f"{STOPPED}{name} {found} of {tried}"
        return None


def parse_canary(raw: object) -> PromptCanary:
    """InputError: the file, the key, what was found, what is allowed."""
    return parse_strictly(PromptCanary, raw, FILE, "canary")


@dataclasses.dataclass(frozen=True, slots=True)
class Fate:
    """What became of one pattern."""

    rejected: bool
    fell_back: bool

    def or_as(self, other: Fate) -> Fate:
        """Of the same pattern on several days the worse counts."""
        return Fate(self.rejected or other.rejected, self.fell_back or other.fell_back)


def fate_of(failure: str | None, caution: str | None) -> Fate | None:
    """By why it fell back, and what was said against it. None: what a budget or the clock prevented says nothing."""
    if failure in _NOT_ITS_FAULT:
        return None
    return Fate(rejected=caution is not None and not _is_silence(caution), fell_back=failure is not None)


def _is_silence(caution: str) -> bool:
    """Did a reader give no answer, rather than say no? Then the doubt is none about the text."""
    reason = caution.removeprefix(DOUBT).partition(":")[2]
    return caution.startswith(DOUBT) and reason not in ("clarity", "one_action", "tone", "brand", "risk")


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """What a draft says of the canary that its pattern took part in."""

    name: str
    arm: Literal["canary", "standing"]
    propensity: float  # the probability with which a pattern gets this arm; 1 where nothing was drawn
    pattern: str
    version: str  # of what was tried: hash of its prompts and model
    prompts: Mapping[str, str]  # of this arm: role -> hash of the instruction
    models: tuple[str, ...]  # of this arm, in the order in which they are asked
    stopped: str | None = None  # why a pattern that was drawn for the canary was written by the standing ones

    @property
    def text(self) -> str:
        """As the draft keeps it: the same for everybody who shares the pattern."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))


@dataclasses.dataclass(frozen=True)
class Arm:
    """One side: how it asks, and what it is."""

    ask: Ask
    prompts: Mapping[str, bytes]
    models: Sequence[str]

    @property
    def hashes(self) -> dict[str, str]:
        return {role: content_hash(prompt) for role, prompt in self.prompts.items()}


def version_of(arm: Arm) -> str:
    """Of what is tried; another prompt or model under the same name is another trial."""
    return content_hash({"prompts": arm.hashes, "models": list(arm.models)})


@dataclasses.dataclass(frozen=True)
class Canary:
    """The canary as a run writes with it."""

    policy: PromptCanary
    arm: Arm
    standing: Arm
    before: Mapping[str, Fate] = dataclasses.field(default_factory=dict)  # its own patterns until this run

    def written(self, requests: Mapping[str, WriterRequest], write: Write, ask: Ask) -> Outcome:
        """The canary's patterns first, a few at a time; when it stops itself, the rest goes the way of all others, by `ask`."""
        drawn = [
            key
            for key in sorted(requests)
            if self.policy.concerns(requests[key].campaign_id) and self.policy.draws(requests[key])
        ]
        fates, made, tried = dict(self.before), [], set[str]()
        stopped = self.policy.stopped(fates)
        while drawn and not stopped:
            some, drawn = drawn[:AT_ONCE], drawn[AT_ONCE:]
            outcome = write({key: requests[key] for key in some}, self.arm.ask)
            made.append(self._marked(outcome, requests, self.arm, CANARY, {}))
            tried |= set(some)
            for key, result in outcome.results.items():
                if fate := fate_of(result.failure, result.caution):
                    pattern = requests[key].pattern
                    fates[pattern] = fate.or_as(fates.get(pattern, fate))
            stopped = self.policy.stopped(fates)
        rest = write({key: one for key, one in requests.items() if key not in tried}, ask)
        made.append(self._marked(rest, requests, self.standing, STANDING, dict.fromkeys(drawn, stopped)))
        return _as_one(made)

    def _marked(
        self,
        outcome: Outcome,
        requests: Mapping[str, WriterRequest],
        arm: Arm,
        name: Literal["canary", "standing"],
        stopped: Mapping[str, str | None],
    ) -> Outcome:
        """Each result with its trial, in the campaigns that have one."""

        def trial(request: WriterRequest, why: str | None) -> str:
            share = self.policy.share if name == CANARY else 1 - self.policy.share
            return Trial(
                self.policy.name, name, 1.0 if why else share, request.pattern, version_of(self.arm), arm.hashes,
                tuple(arm.models), why,
            ).text  # fmt: skip

        results: dict[str, WriterResult] = {
            key: dataclasses.replace(result, trial=trial(requests[key], stopped.get(key)))
            if self.policy.concerns(requests[key].campaign_id)
            else result
            for key, result in outcome.results.items()
        }
        return dataclasses.replace(outcome, results=results)


def _as_one(made: Sequence[Outcome]) -> Outcome:
    return Outcome(
        {key: result for outcome in made for key, result in outcome.results.items()},
        tuple(answer for outcome in made for answer in outcome.answers),
        tuple(sorted({said for outcome in made for said in outcome.objections})),
        tuple(word for outcome in made for word in outcome.rejections),
    )
