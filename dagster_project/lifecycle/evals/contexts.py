"""The fixed contexts that texts are measured on: `templates/evals/contexts.yml`, and the messages made of them. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from pydantic import Field, model_validator

from dagster_project.lifecycle.message import Mode, PlannedMessage, content_hash
from dagster_project.lifecycle.strict import StrictModel, contradiction, parse_strictly
from dagster_project.lifecycle.template import FactSpec, Template, TemplateSpec

FILE = "templates/evals/contexts.yml"
NOBODY = "nobody@recipient.invalid"


class Filling(StrictModel):
    """One context: a value for every fact that a template may declare, by its name or by its type."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="a snake_case name")
    facts: dict[str, str | int | float] = Field(
        default_factory=dict, description="a mapping of names of facts to their values. Those that a template has"
    )
    text: str = Field(min_length=1, description="a text. For every text that `facts` doesn't name")
    number: int = Field(ge=0, description="a number of 0 or more. For every number")
    percent: float = Field(ge=0, le=1, description="a share from 0 to 1. For every percentage")
    money: float = Field(ge=0, description="an amount of 0 or more. For every sum of money")
    date: dt.date = Field(description="a date such as 2026-09-30. For every date")
    value: int = Field(ge=0, description="a place from 0 in the list of a fact's `values`. Beyond the last: the last")
    optional: bool = Field(default=True, description="true or false. Whether facts that aren't required are there")

    def of(self, spec: TemplateSpec) -> dict[str, object]:
        """What this context says to one template."""
        return {
            name: self._value(name, fact) if self.optional or fact.required else None
            for name, fact in spec.facts.items()
        }

    def _value(self, name: str, fact: FactSpec) -> object:
        if fact.values:
            known = list(fact.values)
            return known[min(self.value, len(known) - 1)]
        if name in self.facts:
            return self.facts[name]
        by_type: Mapping[str, object] = {
            "text": self.text,
            "number": self.number,
            "percent": self.percent,
            "money": self.money,
            "date": self.date.isoformat(),
        }
        return by_type[fact.type]


class Contexts(StrictModel):
    """The whole set. `as_of` is the time at which its texts are written, for what they may look up."""

    as_of: dt.date = Field(
        description="a date such as 2026-09-01. When the texts are written, for what they may look up"
    )
    contexts: tuple[Filling, ...] = Field(min_length=1, description="a list of contexts")

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [one.name for one in self.contexts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise contradiction("contexts", twice[0], "each name once")
        return self

    @property
    def at(self) -> dt.datetime:
        return dt.datetime.combine(self.as_of, dt.time())

    @property
    def version(self) -> str:
        return content_hash(self.model_dump(mode="json"))


def parse_contexts(raw: object) -> Contexts:
    """InputError: the file, the key, what was found, what is allowed."""
    return parse_strictly(Contexts, raw, FILE, "evals")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Case:
    """One way of making one campaign's mails: all contexts go through it."""

    campaign_id: str
    variant: str
    mode: Mode
    locale: str

    @property
    def name(self) -> str:
        return f"{self.campaign_id}/{self.variant} {self.mode} {self.locale}"


class Reviewed(Protocol):
    """What of a campaign's policy says whether a person could decide."""

    @property
    def review(self) -> str: ...


def cases(templates: Mapping[tuple[str, str], Template], campaigns: Sequence[str]) -> list[Case]:
    """Every template of these campaigns that a model has a part in, as filled slots and as a letter, in each locale that it offers."""
    found: list[Case] = []
    for (campaign_id, variant), template in sorted(templates.items()):
        if campaign_id in campaigns:
            for locale in template.spec.locales:
                found += [Case(campaign_id, variant, "assisted", locale)] if template.spec.slots else []
                found += [Case(campaign_id, variant, "autonomous", locale)] if template.letters else []
    return sorted(found)


def messages_of(case: Case, contexts: Contexts, spec: TemplateSpec) -> list[PlannedMessage]:
    """One message per context, to nobody."""
    return [
        PlannedMessage(
            message_id=content_hash({"eval": [case.name, one.name]})[:32],
            campaign_id=case.campaign_id,
            user_id="eval",
            account_id=None,
            occurrence_key=one.name,
            decision_id="eval",
            policy_hash="eval",
            message_type="eval",
            channel="email",
            variant=case.variant,
            locale=case.locale,
            email=NOBODY,
            facts=one.of(spec),
            send_after=None,
            send_before=None,
        )
        for one in contexts.contexts
    ]


def held_against(policy: Reviewed, mode: Mode) -> dict[str, str]:
    """What changes in a policy for a case: its mode, and where a letter needs a reader that it has none of, the mildest one."""
    return {"mode": mode} | ({"review": "risk"} if mode == "autonomous" and policy.review == "none" else {})
