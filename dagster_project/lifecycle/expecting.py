"""What a language model would be asked, as far as that can be known before it answers. Pure."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from dagster_project.lifecycle.roles.call import Answer, Question, call_key
from dagster_project.lifecycle.roles.policy import POLICY_MAX_CHARS
from dagster_project.lifecycle.roles.reviewer import REVIEW_MAX_CHARS

CHARS_PER_TOKEN = 4  # of English, to expect with; what a server counts differs by its tokenizer
NOT_ASKED = "not_asked"


@dataclasses.dataclass(frozen=True, slots=True)
class Expected:
    """Calls and tokens of one campaign."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Expected) -> Expected:
        return Expected(self.calls + other.calls, self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)


def expected(question: Question, prompts: Mapping[str, bytes]) -> Expected:
    """About what one question takes that no answer is known to: of a text also its readers, if nobody objects."""
    made = _of(question.role, question, question.most_chars, prompts)
    if question.followers:
        made += _of("reviewer", question, REVIEW_MAX_CHARS, prompts) + _of(
            "policy", question, POLICY_MAX_CHARS, prompts
        )
    return made


def _of(role: str, question: Question, most_chars: int, prompts: Mapping[str, bytes]) -> Expected:
    tokens_in = (len(prompts[role].decode()) + len(question.content)) // CHARS_PER_TOKEN
    return Expected(1, tokens_in, most_chars // CHARS_PER_TOKEN)


class Rehearsal:
    """Answers as the ledger would, and asks nobody: what isn't known is counted, by campaign."""

    def __init__(
        self,
        known: Callable[[Sequence[str]], Mapping[str, Answer]],
        prompts: Mapping[str, bytes],
        settings: Mapping[str, object],
        missing: dict[str, Expected] | None = None,
    ) -> None:
        """`missing` is that of another rehearsal, to count into."""
        self._known, self._prompts, self._settings = known, prompts, settings
        self.missing = defaultdict[str, Expected](Expected) if missing is None else missing

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        keys = [call_key(one, self._prompts[one.role], self._settings) for one in questions]
        found = self._known(keys)
        for key, question in zip(keys, questions, strict=True):
            if key not in found:
                self.missing[question.campaign_id] += expected(question, self._prompts)
        return [
            dataclasses.replace(found.get(key, Answer(failure=NOT_ASKED)), prompt=self._prompts[question.role])
            for key, question in zip(keys, questions, strict=True)
        ]
