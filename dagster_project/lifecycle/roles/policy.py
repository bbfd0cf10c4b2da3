"""The policy enforcer: holds a text against its facts and the rules of its campaign's class. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model

from dagster_project.lifecycle.roles.call import Question
from dagster_project.lifecycle.roles.writer import CTA_ID, WriterRequest, as_json, shown

Rule = Literal["claim", "disclosure", "wording"]
MOST_OBJECTIONS = 8
WORDS_MAX_CHARS = 200
POLICY_MAX_CHARS = MOST_OBJECTIONS * 2 * WORDS_MAX_CHARS


@dataclasses.dataclass(frozen=True, slots=True)
class Objection:
    """`claim`: words that no fact bears out. `wording`: words that a rule forbids. `disclosure`: something that a rule demands is
    missing, so there are no words."""

    rule: Rule
    words: str
    sentence: str


def policy_question(request: WriterRequest, slots: Mapping[str, str], rules: Sequence[str]) -> Question:
    """The text with its placeholders, beside all that its writer knew and the rules that it must keep."""
    return Question(
        role="policy",
        campaign_id=request.campaign_id,
        content=as_json(shown(request) | {"text": dict(slots), "rules": list(rules)}),
        form=_FORM,
        most_chars=POLICY_MAX_CHARS,
        scope=(request.variant, request.template_version),
        has_users_words=bool(request.quoted),
    )


def read_objections(content: Mapping[str, Any], slots: Mapping[str, str]) -> list[Objection] | None:
    """None where the answer isn't in its form, or objects to words that the text doesn't have: then nobody has read it."""
    found = content.get("objections")
    if set(content) != {"objections"} or not isinstance(found, list) or len(found) > MOST_OBJECTIONS:
        return None
    said = _plain(" ".join(text for name, text in slots.items() if name != CTA_ID))
    objections = []
    for each in found:
        if not isinstance(each, Mapping) or set(each) != {"rule", "words", "sentence"}:
            return None
        one = Objection(each["rule"], each["words"], each["sentence"])
        if one.rule not in get_args(Rule) or not isinstance(one.words, str) or not isinstance(one.sentence, str):
            return None
        if one.rule != "disclosure" and (not _plain(one.words) or _plain(one.words) not in said):
            return None
        objections.append(one)
    return objections


def _plain(words: str) -> str:
    """However they are spaced and capitalised: a model quotes loosely."""
    return " ".join(words.casefold().split())


_STRICT = ConfigDict(extra="forbid", strict=True)
_OBJECTION: Any = create_model(
    "Objection",
    __config__=_STRICT,
    rule=(Rule, Field(description="What it breaks.")),
    words=(str, Field(description='The words of the text, exactly as they stand; "" for a missing disclosure.')),
    sentence=(str, Field(description=f"One sentence, at most {WORDS_MAX_CHARS} characters.")),
)
_LIST: Any = list[_OBJECTION]  # pyright: ignore[reportInvalidTypeForm]  made above
_FORM: type[BaseModel] = create_model(
    "Objections",
    __config__=_STRICT,
    objections=(_LIST, Field(description=f"At most {MOST_OBJECTIONS}; empty where there is nothing.")),
)
