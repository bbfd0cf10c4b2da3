"""One language model: any server that speaks OpenAI's chat completions.

Whatever goes wrong here has a name and is an answer, not an exception. After three failures in a row in one role the
model is given up.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from dagster_project.adapters.model_prices import dollars
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.roles.call import AT_ONCE, MALFORMED, OVER_LENGTH, Answer, Question

if TYPE_CHECKING:
    from openai import OpenAI

SEED = 7
FEWEST_CHARS = 2  # of a token: the fewest we expect; a cap that cuts a fitting answer would waste the call
OF_THE_WAIT = (
    0.8  # a server that says nothing times out first; one that drips is given up for good when the wait is over
)
_TOKENS_AROUND = 64  # of an answer beside its words, and of a question beside its bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """An answer, and when the server would like to be asked again: seconds from then on, None where it says nothing of it."""

    answer: Answer
    retry_after: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Instructed:
    """A question with the instruction of its role."""

    question: Question
    prompt: bytes


class LanguageModel:
    """Calls in waves no longer than what may still fail, counted in their order: so which calls are made does not depend on which
    answer came first. One object serves one run: a model that was given up stays so."""

    def __init__(self, client: OpenAI, name: str) -> None:
        self._client, self.name = client, name
        self._settings = {"model": name, "temperature": 0, "seed": SEED}
        self._failures_in_a_row: Counter[str] = (
            Counter()
        )  # by role: what one can't do makes the others' answers worthless
        self.last_failure = ""

    @property
    def room(self) -> int:
        """Calls that may be made at once; 0: the model is given up."""
        return AT_ONCE - max(self._failures_in_a_row.values(), default=0)

    def most(self, asked: Instructed) -> Cost:
        """The most that one call can cost: no token is shorter than a byte, and an answer is cut at its limit."""
        sent = (asked.prompt, asked.question.content.encode(), asked.question.schema.encode())
        tokens_in, tokens_out = sum(map(len, sent)) + _TOKENS_AROUND, most_tokens(asked.question)
        return Cost(1, tokens_in + tokens_out, dollars(self.name, tokens_in, tokens_out))

    def wave(self, asked: Sequence[Instructed], seconds: float, patience: float) -> list[Call]:
        """One call per question, in their order, within so many seconds. A failure after which the server says when to come again isn't
        counted against it where that is within `patience`, nor an answer about several texts that can't be read: they are asked alone."""
        # The client's timeout is per read: a server that sends a blank every second would hold the tick for ever.
        with ThreadPoolExecutor(len(asked), thread_name_prefix="model") as pool:
            futures = [pool.submit(self._call, one, seconds * OF_THE_WAIT) for one in asked]
            _, late = wait(futures, timeout=seconds)
            calls = [self._result(one, each, each in late, seconds) for one, each in zip(asked, futures, strict=True)]
            if late:
                self._client.close()  # ends the late calls, and with them this model's part in the run
        for one, call in zip(asked, calls, strict=True):
            role, failures = one.question.role, self._failures_in_a_row
            is_asked_again = one.question.texts > 1 and call.answer.failure in (MALFORMED, OVER_LENGTH, "refused")
            if not is_asked_again and (call.retry_after is None or call.retry_after > patience):
                failures[role] = failures[role] + 1 if call.answer.failure else 0
            self.last_failure = call.answer.failure or self.last_failure
        if late:
            self._failures_in_a_row[asked[0].question.role] = AT_ONCE
        return calls

    def _result(self, asked: Instructed, future: Future[Call], is_late: bool, seconds: float) -> Call:
        return Call(self.answer(asked, None, "timeout", seconds)) if is_late else future.result()

    def _call(self, asked: Instructed, timeout: float) -> Call:
        import openai  # loaded with the client

        started = time.perf_counter()
        question = asked.question
        try:
            said = self._client.chat.completions.parse(
                model=self.name,
                messages=[
                    {"role": "system", "content": asked.prompt.decode()},
                    {"role": "user", "content": question.content},
                ],
                response_format=question.form,
                temperature=0,
                seed=SEED,
                max_completion_tokens=most_tokens(question),
                timeout=timeout,
            )
        except (openai.OpenAIError, ValidationError, ValueError, TypeError, AttributeError, LookupError) as error:
            said = getattr(error, "completion", None)  # of an answer that was cut off: it has been billed
            answer = self.answer(asked, None, failure_of(error), time.perf_counter() - started, said)
            return Call(answer, _retry_after(error))
        content, failure = _read(said)
        return Call(self.answer(asked, content, failure, time.perf_counter() - started, said))

    def answer(
        self, asked: Instructed, content: dict[str, Any] | None, failure: str | None, seconds: float, said: Any = None
    ) -> Answer:
        """What came of one call, with what it cost: by what the server `said`, or the most that it can have been."""
        used = getattr(said, "usage", None)
        tokens_in, tokens_out = (_count(getattr(used, name, None)) for name in ("prompt_tokens", "completion_tokens"))
        if tokens_in is None or tokens_out is None:
            tokens_in = tokens_out = None
            cost = self.most(asked)  # it may have been billed, whatever we were told
        else:
            cost = Cost(1, tokens_in + tokens_out, dollars(self.name, tokens_in, tokens_out))
        return Answer(
            content=content,
            failure=failure,
            prompt=asked.prompt,
            settings=self._settings,
            model=str(getattr(said, "model", "") or ""),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=cost,
            seconds=seconds,
            was_called=True,
        )


def most_tokens(question: Question) -> int:
    """The most tokens of an answer."""
    return question.most_chars // FEWEST_CHARS + _TOKENS_AROUND


def failure_of(error: Exception) -> str:
    """The reason for what the client raised. A class comes before the classes it inherits from."""
    import openai

    for reason, kinds in (
        ("timeout", openai.APITimeoutError),
        ("rate_limited", openai.RateLimitError),
        ("over_length", openai.LengthFinishReasonError),
        ("server_error", (openai.InternalServerError, openai.APIConnectionError)),
        ("refused", (openai.ContentFilterFinishReasonError, openai.APIStatusError)),  # 4xx: it would not take the call
    ):
        if isinstance(error, kinds):
            return reason
    return MALFORMED  # the client trusts the shape of a 200: anything else in it surfaces as some other error


def _retry_after(error: Exception) -> float | None:
    """Seconds, of a server that is asked too often or is busy; a date or nonsense there counts as nothing said."""
    import openai

    if not isinstance(error, openai.RateLimitError | openai.InternalServerError):
        return None
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _read(answer: Any) -> tuple[dict[str, Any] | None, str | None]:
    """Content or a failure from what the server said. Nothing about its shape is taken for granted."""
    choices = getattr(answer, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    if getattr(message, "refusal", None):
        return None, "refused"
    parsed = getattr(message, "parsed", None)
    return (parsed.model_dump(mode="json"), None) if isinstance(parsed, BaseModel) else (None, MALFORMED)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
