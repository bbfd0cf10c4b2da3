"""What a language model would be asked, as far as that can be known before it answers. Pure."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from dagster_project.lifecycle.roles.call import Answer, Question, Role, call_key
from dagster_project.lifecycle.roles.policy import POLICY_MAX_CHARS
from dagster_project.lifecycle.roles.reviewer import REVIEW_MAX_CHARS
from dagster_project.lifecycle.roles.together import bundled

CHARS_PER_TOKEN = 4  # of English, to expect with; what a server counts differs by its tokenizer
NOT_ASKED = "not_asked"
_READERS: Mapping[Role, int] = {"reviewer": REVIEW_MAX_CHARS, "policy": POLICY_MAX_CHARS}


@dataclasses.dataclass(frozen=True, slots=True)
class Expected:
    """Calls and tokens of one campaign."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Expected) -> Expected:
        return Expected(self.calls + other.calls, self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)


def expected(
    questions: Sequence[tuple[str, Question]], prompts: Mapping[str, bytes], texts_per_call: int
) -> dict[str, Expected]:
    """campaign_id -> about what these questions take that no answer is known to, each with its key: of a text also its readers, if
    nobody objects."""
    made: dict[str, Expected] = {}
    readers = [
        (f"{role}:{key}", dataclasses.replace(one, role=role, most_chars=most_chars))
        for key, one in questions
        if one.followers
        for role, most_chars in _READERS.items()
    ]
    for bundle in bundled([*questions, *readers], texts_per_call):
        asked = bundle.question
        tokens_in = (len(prompts[asked.role].decode()) + len(asked.content)) // CHARS_PER_TOKEN
        found = Expected(1, tokens_in, asked.most_chars // CHARS_PER_TOKEN)
        made[asked.campaign_id] = made.get(asked.campaign_id, Expected()) + found
    return made


class Rehearsal:
    """Answers as the ledger would, and asks nobody: what isn't known is counted, by campaign."""

    def __init__(
        self,
        known: Callable[[Sequence[str]], Mapping[str, Answer]],
        prompts: Mapping[str, bytes],
        settings: Mapping[str, object],
        texts_per_call: int,
        missing: dict[str, Expected] | None = None,
    ) -> None:
        """`missing` is that of another rehearsal, to count into."""
        self._known, self._prompts, self._settings = known, prompts, settings
        self._texts_per_call = texts_per_call
        self.missing = defaultdict[str, Expected](Expected) if missing is None else missing

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        keys = [call_key(one, self._prompts[one.role], self._settings) for one in questions]
        found = self._known(keys)
        new = {key: one for key, one in zip(keys, questions, strict=True) if key not in found}
        for campaign_id, one in expected(list(new.items()), self._prompts, self._texts_per_call).items():
            self.missing[campaign_id] += one
        return [
            dataclasses.replace(found.get(key, Answer(failure=NOT_ASKED)), prompt=self._prompts[question.role])
            for key, question in zip(keys, questions, strict=True)
        ]
