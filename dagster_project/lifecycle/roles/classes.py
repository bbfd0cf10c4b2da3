"""Classes of campaigns: what a text needs to go out, what becomes of it otherwise, and the rules that it must keep. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol, Self, get_args

from pydantic import Field, model_validator

from dagster_project.lifecycle.campaign import LegalBasis, MessageType
from dagster_project.lifecycle.roles.reviewer import RUBRICS, Score
from dagster_project.lifecycle.strict import StrictModel, contradiction, parse_strictly

FILE = "templates/prompts/classes.yml"
Risk = Literal["low", "high"]
_Score = Annotated[int, Field(ge=1, le=5)]
_SCORES = f"a mapping of {', '.join(RUBRICS)} to scores from 1 to 5"


class Class(Protocol):
    """What of a campaign's policy tells its class."""

    @property
    def legal_basis(self) -> LegalBasis: ...
    @property
    def message_type(self) -> MessageType: ...
    @property
    def risk(self) -> Risk: ...


class CampaignClass(StrictModel):
    """One class. A campaign belongs to the first whose lists all name what it has; an empty list names everything."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="a snake_case name")
    legal_basis: tuple[LegalBasis, ...] = Field(default=(), description=f"a list of {', '.join(get_args(LegalBasis))}")
    message_type: tuple[MessageType, ...] = Field(
        default=(), description=f"a list of {', '.join(get_args(MessageType))}"
    )
    risk: tuple[Risk, ...] = Field(default=(), description="a list of low, high")
    accept: dict[str, _Score] = Field(description=f"{_SCORES}. A text with less is written anew once")
    person: dict[str, _Score] = Field(
        description=f"{_SCORES}. A text between this and `accept` waits for a person, one with less gives way to the template"
    )
    unheard: Literal["template", "person"] = Field(
        description="one of template, person. What follows when a role gives no usable answer"
    )
    rules: tuple[str, ...] = Field(description="a list of sentences. What the policy enforcer holds the text against")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in ("accept", "person"):
            scores: Mapping[str, int] = getattr(self, key)
            if set(scores) != set(RUBRICS):
                raise contradiction(key, sorted(scores), _SCORES)
        for rubric, least in self.person.items():
            if least > self.accept[rubric]:
                raise contradiction("person", {rubric: least}, f"at most {self.accept[rubric]}, what accept says")
        return self

    def holds(self, policy: Class) -> bool:
        return all(
            not named or found in named
            for named, found in (
                (self.legal_basis, policy.legal_basis),
                (self.message_type, policy.message_type),
                (self.risk, policy.risk),
            )
        )

    def below_accept(self, scores: Mapping[str, Score]) -> list[str]:
        return [rubric for rubric in RUBRICS if scores[rubric].score < self.accept[rubric]]

    def below_person(self, scores: Mapping[str, Score]) -> list[str]:
        return [rubric for rubric in RUBRICS if scores[rubric].score < self.person[rubric]]


class Classes(StrictModel):
    """All classes, the strictest first; the last holds every campaign."""

    classes: tuple[CampaignClass, ...] = Field(min_length=1, description="a list of classes, the strictest first")

    @model_validator(mode="after")
    def _check(self) -> Self:
        last = self.classes[-1]
        if last.legal_basis or last.message_type or last.risk:
            raise contradiction("classes", last.name, "a last class without legal_basis, message_type and risk")
        return self

    def of(self, policy: Class) -> CampaignClass:
        return next(each for each in self.classes if each.holds(policy))


def parse_classes(raw: object) -> Classes:
    """`templates/prompts/classes.yml`. Raises InputError: the file, the key, what was found, what is allowed."""
    return parse_strictly(Classes, {"classes": raw}, FILE, "policy")
