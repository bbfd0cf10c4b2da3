"""The reviewer: scores a text from 1 to 5 by a fixed rubric, with one sentence for each score. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from dagster_project.lifecycle.roles.call import Question
from dagster_project.lifecycle.roles.writer import WriterRequest, as_json, shown

RUBRICS: Mapping[str, str] = {
    "clarity": "Understood at one reading: what this is about, and what to do.",
    "one_action": "One thing is asked of the reader, or none.",
    "tone": "Sounds as `tone` says, to a grown-up who has little time.",
    "brand": "Plain, specific, honest: no advertising talk, no pressure, no praise.",
    "risk": "5: nobody could be misled, hurt or angered by it; 1: somebody surely would be.",
}
WHY_MAX_CHARS = 240
REVIEW_MAX_CHARS = len(RUBRICS) * WHY_MAX_CHARS


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """Of one rubric: 1 (bad) to 5 (good)."""

    score: int
    why: str


def reviewer_question(request: WriterRequest, slots: Mapping[str, str]) -> Question:
    """The text with its placeholders, beside all that its writer knew."""
    return Question(
        role="reviewer",
        campaign_id=request.campaign_id,
        content=as_json(shown(request) | {"text": dict(slots)}),
        form=_FORM,
        most_chars=REVIEW_MAX_CHARS,
        scope=(request.variant, request.template_version),
        has_users_words=bool(request.quoted),
    )


def read_scores(content: Mapping[str, Any]) -> dict[str, Score] | None:
    """rubric -> score, in the order of the rubrics; None where the answer isn't in its form, as a remembered one may be."""
    if set(content) != set(RUBRICS):
        return None
    found = {}
    for name in RUBRICS:
        each = content[name]
        if (
            not isinstance(each, Mapping)
            or each.get("score") not in range(1, 6)
            or not isinstance(each.get("why"), str)
        ):
            return None
        found[name] = Score(int(each["score"]), each["why"][:WHY_MAX_CHARS])
    return found


_STRICT = ConfigDict(extra="forbid", strict=True)
_SCORE = create_model(
    "Score",
    __config__=_STRICT,
    score=(Literal[1, 2, 3, 4, 5], Field(description="1 bad, 5 good.")),
    why=(str, Field(description=f'One sentence, at most {WHY_MAX_CHARS} characters; "" for a 5.')),
)
_FIELDS: dict[str, Any] = {name: (_SCORE, Field(description=sentence)) for name, sentence in RUBRICS.items()}
_FORM: type[BaseModel] = create_model("Scores", __config__=_STRICT, **_FIELDS)
