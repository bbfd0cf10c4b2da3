"""One call of a language model in one role: what it is asked, in which form it answers, and what came of it. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.message import content_hash

Role = Literal["writer", "reviewer", "policy"]

AT_ONCE = 3  # calls: a server that fails is asked no more than this before it is given up
TEXTS_AT_ONCE = (
    9  # on their way from writer to readers: three waves of calls to write them, and enough to be read by threes
)
OVER_BUDGET = "over_budget"
OUT_OF_TIME = "out_of_time"
BATCH_LATE = "batch_late"  # it went with a batch that wasn't done in time, and there were too many to be asked again
MALFORMED = "malformed"
OVER_LENGTH = "over_length"
CALL_FAILURES = frozenset(
    {OVER_BUDGET, OUT_OF_TIME, BATCH_LATE, MALFORMED, OVER_LENGTH, "refused", "timeout", "rate_limited", "server_error"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What one role is asked about one pattern, or about the text written for it. Nothing in it is about one person."""

    role: Role | Literal["embeddings"]  # embeddings have no instruction; they are recorded alike
    campaign_id: str
    content: str  # JSON: all that the model is shown beside its instruction
    form: type[BaseModel]  # of the answer
    most_chars: int  # of the answer's words
    followers: int = 0  # calls without which the answer is worth nothing: they are set aside with it
    scope: tuple[str, ...] = ()  # what else its answer depends on, though the model isn't told: the template's version
    has_users_words: bool = False  # redacted, and still nobody's but theirs
    texts: int = 1  # that it is about: several only in a call that they share, see `together`

    @property
    def schema(self) -> str:
        return json.dumps(self.form.model_json_schema(), sort_keys=True)

    @property
    def key(self) -> str:
        parts = [self.role, self.campaign_id, *self.scope]
        return content_hash({"of": parts, "content": self.content, "schema": self.schema})


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call. Exactly one of `content` and `failure` is set."""

    content: Mapping[str, Any] | None = None
    failure: str | None = None  # one of CALL_FAILURES
    prompt: bytes = b""  # the versioned instruction behind the answer
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)  # model, temperature, seed
    model: str = ""  # as the server names it
    tokens_in: int | None = None  # None: the server didn't say
    tokens_out: int | None = None
    cost: Cost = dataclasses.field(default_factory=Cost)  # where the server didn't say: the most that it can have been
    seconds: float = 0.0
    was_called: bool = False  # False: the breaker was open, the budget spent, or the answer known
    asked_with: str | None = None  # key of the question that paid for a call that both shared


Ask = Callable[[Sequence[Question]], Sequence[Answer]]  # answers in the order of the questions


def call_key(question: Question, prompt: bytes, settings: Mapping[str, object]) -> str:
    """Of everything that an answer depends on: equal keys need one call."""
    return content_hash({"question": question.key, "prompt": content_hash(prompt), "settings": dict(settings)})
