"""Texts that are read in one call: those of one template version, a few at a time. Pure.

Each is read beside its own facts and answered by itself, and each answer is kept under its own key, as if it had been asked for
alone: who else was in the call is no part of a question.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.roles.call import Answer, Question

READERS = ("reviewer", "policy")  # a writer has all its attention for one text
TEXTS = "texts"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Questions that one call answers, at least one: key -> question."""

    parts: dict[str, Question]

    @property
    def question(self) -> Question:
        """The one that is sent: what all have in common once, then each text with what is its own."""
        questions = list(self.parts.values())
        first = questions[0]
        if len(questions) == 1:
            return first
        contents: list[dict[str, Any]] = [json.loads(one.content) for one in questions]
        shared = {
            name: value for name, value in contents[0].items() if all(each.get(name) == value for each in contents)
        }
        shared.pop("text", None)  # two patterns may have been given the same words: each is read beside its facts
        own = [{name: value for name, value in each.items() if name not in shared} for each in contents]
        texts = dict(zip(self._names, own, strict=True))
        return dataclasses.replace(
            first,
            content=json.dumps(shared | {TEXTS: texts}, ensure_ascii=False, sort_keys=True),
            form=_form_of_each(first.form, self._names),
            most_chars=sum(one.most_chars for one in questions),
            texts=len(questions),
        )

    def answers(self, answer: Answer) -> dict[str, Answer]:
        """key -> its part of the answer. What the call cost stands with the first; the others name it."""
        if len(self.parts) == 1:
            return dict.fromkeys(self.parts, answer)
        payer = next(iter(self.parts))
        nothing = {name: None if getattr(answer, name) is None else 0 for name in ("tokens_in", "tokens_out")}
        free = dataclasses.replace(answer, cost=Cost(), seconds=0.0, asked_with=payer, **nothing)
        return {
            key: dataclasses.replace(
                answer if key == payer else free, content=None if answer.content is None else answer.content[name]
            )
            for key, name in zip(self.parts, self._names, strict=True)
        }

    @property
    def _names(self) -> list[str]:
        return [f"text_{number}" for number in range(1, len(self.parts) + 1)]


def bundled(questions: Sequence[tuple[str, Question]], per_call: int) -> list[Bundle]:
    """The questions, each with its key, in as few calls as they may share; `per_call` in one at most, in the order given.

    Words of users stay alone: whatever they bring about reaches no other text.
    """
    alike: dict[tuple[str, ...], dict[str, Question]] = {}
    for key, one in questions:
        is_shared = one.role in READERS and not one.has_users_words
        kind = (one.role, one.campaign_id, *one.scope) if is_shared else (key,)
        alike.setdefault(kind, {})[key] = one
    return [
        Bundle(dict(list(parts.items())[first : first + per_call]))
        for parts in alike.values()
        for first in range(0, len(parts), per_call)
    ]


def _form_of_each(form: type[BaseModel], names: Sequence[str]) -> type[BaseModel]:
    fields: dict[str, Any] = dict.fromkeys(names, (form, ...))
    return create_model(f"{form.__name__}OfEach", __config__=ConfigDict(extra="forbid", strict=True), **fields)
