"""Many calls of one language model at once, by OpenAI's files and batches: cheaper, and done when the server has time.

Whatever isn't back when the wait is over is left to ordinary calls. Nothing is left at the server that it would let us delete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dagster_project.adapters.language_model import SEED, Instructed, LanguageModel, most_tokens
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.roles.call import BATCH_LATE, MALFORMED, OVER_LENGTH, Answer

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

_ENDPOINT = "/v1/chat/completions"
_OVER = ("completed", "expired", "failed", "cancelled")  # states of a batch in which nothing more comes
_PER_REQUEST = 30.0  # seconds of silence after which a request is given up
_LONGEST_PAUSE = 30.0  # seconds between two looks
_FINISHED = {"length": OVER_LENGTH, "content_filter": "refused"}
_AFTER_THE_WAIT = 60.0  # seconds to fetch what came, and to tidy up; a server that drips is given up for good then


@dataclasses.dataclass(frozen=True, slots=True)
class BatchLimits:
    """`above`: questions of one step beyond which they go as a batch. `seconds`: until one is given up; `pause`: before the first look."""

    above: int
    seconds: float
    pause: float = 1.0


class ModelBatch:
    """Batches of one model for one run. One that could not be made, or came to nothing, is the last."""

    def __init__(self, client: OpenAI, model: LanguageModel, limits: BatchLimits) -> None:
        self._client = client.with_options(timeout=_PER_REQUEST)
        self._model, self._limits = model, limits
        self._is_given_up = False

    @property
    def above(self) -> int:
        return self._limits.above

    def takes(self, questions: int) -> bool:
        return not self._is_given_up and questions > self._limits.above

    def most(self, asked: Instructed) -> Cost:
        """The most that one call can cost: at list price, though a batch often costs half."""
        return self._model.most(asked)

    def ask(self, asked: Sequence[Instructed]) -> list[Answer | None]:
        """In the order of the questions. None: it was not taken. `batch_late`: it was, and nothing came back."""
        started = time.perf_counter()
        with ThreadPoolExecutor(1, thread_name_prefix="batch") as pool:
            lines = pool.submit(self._lines, asked)
            _, late = wait([lines], timeout=self._limits.seconds + _AFTER_THE_WAIT)
            if late:
                self._client.close()  # ends whatever it is at, and with it the batches of this run
        found = {} if late else lines.result()
        self._is_given_up = not found
        if found is None:
            return [None] * len(asked)
        seconds = (time.perf_counter() - started) / len(asked)
        return [self._answer(one, found.get(str(place)), seconds) for place, one in enumerate(asked)]

    def _lines(self, asked: Sequence[Instructed]) -> dict[str, Any] | None:
        """custom_id -> what came back; None where the server took no batch."""
        import openai  # loaded with the client

        is_taken = False
        try:
            with self._made(asked) as batch_id:
                is_taken = True
                return self._waited_for(batch_id)
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, LookupError):
            return {} if is_taken else None

    @contextlib.contextmanager
    def _made(self, asked: Sequence[Instructed]) -> Iterator[str]:
        """A batch of these calls; cancelled where it isn't done, and its files deleted, however this ends."""
        rows = [json.dumps(self._row(place, one), ensure_ascii=False) for place, one in enumerate(asked)]
        sent = self._client.files.create(file=("calls.jsonl", "\n".join(rows).encode()), purpose="batch")
        files, batch_id = [sent.id], None
        try:
            made = self._client.batches.create(input_file_id=sent.id, endpoint=_ENDPOINT, completion_window="24h")
            batch_id = made.id
            yield batch_id
        finally:
            with contextlib.suppress(Exception):
                left = self._client.batches.retrieve(batch_id) if batch_id else None
                if left and left.status not in _OVER:
                    left = self._client.batches.cancel(left.id)
                files += [one for one in (left and left.output_file_id, left and left.error_file_id) if one]
            for one in files:
                with contextlib.suppress(Exception):
                    self._client.files.delete(one)

    def _row(self, place: int, asked: Instructed) -> dict[str, Any]:
        import openai

        question = asked.question
        # The same schema that `parse` sends for a form; this is the library's public way to it.
        schema = openai.pydantic_function_tool(question.form)["function"].get("parameters")
        form = {"name": question.form.__name__, "strict": True, "schema": schema}
        body = {
            "model": self._model.name,
            "messages": [
                {"role": "system", "content": asked.prompt.decode()},
                {"role": "user", "content": question.content},
            ],
            "response_format": {"type": "json_schema", "json_schema": form},
            "temperature": 0,
            "seed": SEED,
            "max_completion_tokens": most_tokens(question),
        }
        return {"custom_id": str(place), "method": "POST", "url": _ENDPOINT, "body": body}

    def _waited_for(self, batch_id: str) -> dict[str, Any]:
        """custom_id -> what came back, when the batch is over or the wait is; empty where nothing did."""
        until, pause = time.monotonic() + self._limits.seconds, self._limits.pause
        batch = self._client.batches.retrieve(batch_id)
        while batch.status not in _OVER and (left := until - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
            batch = self._client.batches.retrieve(batch_id)
        if not batch.output_file_id:
            return {}
        rows = [json.loads(row) for row in self._client.files.content(batch.output_file_id).text.splitlines() if row]
        return {str(row["custom_id"]): row for row in rows}

    def _answer(self, asked: Instructed, row: Mapping[str, Any] | None, seconds: float) -> Answer:
        from openai.types.chat import ChatCompletion

        response = (row or {}).get("response") or {}
        if not response or response.get("status_code") != 200:  # noqa: PLR2004  its line of errors says no more
            return self._model.answer(asked, None, "server_error" if row else BATCH_LATE, seconds)
        try:
            said = ChatCompletion.model_validate(response.get("body"))
        except ValidationError:
            return self._model.answer(asked, None, MALFORMED, seconds)
        content, failure = _read(asked, said)
        return self._model.answer(asked, content, failure, seconds, said)


def _read(asked: Instructed, said: ChatCompletion) -> tuple[dict[str, Any] | None, str | None]:
    """Content or a failure, as `parse` would have had it."""
    choice = said.choices[0] if said.choices else None
    if choice is None or choice.finish_reason in _FINISHED:
        return None, _FINISHED[choice.finish_reason] if choice else MALFORMED
    if choice.message.refusal:
        return None, "refused"
    try:
        return asked.question.form.model_validate_json(choice.message.content or "").model_dump(mode="json"), None
    except ValidationError:
        return None, MALFORMED
