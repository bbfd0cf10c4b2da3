"""A model that writes what it is told to write, and whose readers are content with it: asked directly, without a server. And a
campaign's policy as drafting reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dagster_project.adapters.prompts import load_classes
from dagster_project.lifecycle.campaign import LegalBasis, Locales, MessageType
from dagster_project.lifecycle.drafting import Model
from dagster_project.lifecycle.message import Mode
from dagster_project.lifecycle.roles.call import Answer, Question
from dagster_project.lifecycle.roles.reviewer import RUBRICS


@dataclasses.dataclass(frozen=True)
class Policy:
    """The part of a campaign's policy that drafting reads."""

    title: str = "A campaign"
    mode: Mode = "template"
    legal_basis: LegalBasis = "consent"
    message_type: MessageType = "product_tips"
    risk: Literal["low", "high"] = "low"
    review: str = "none"
    locales: Locales = dataclasses.field(default_factory=lambda: Locales(fallback="en"))


CLASSES = load_classes(Path(__file__).parents[1] / "templates" / "prompts")
READERS: Mapping[str, Any] = {
    "reviewer": {rubric: {"score": 5, "why": "Fine."} for rubric in RUBRICS},
    "policy": {"objections": []},
}


class Contented:
    """Answers each pattern with the same slots; `asked` has the questions to the writer."""

    def __init__(self, slots: Mapping[str, str]) -> None:
        self.slots, self.asked = slots, list[Question]()

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += [one for one in questions if one.role == "writer"]
        return [
            Answer(READERS.get(one.role) or self.slots, prompt=b"be kind", settings={"model": "m"}, was_called=True)
            for one in questions
        ]

    @property
    def model(self) -> Model:
        return Model(self, CLASSES)
