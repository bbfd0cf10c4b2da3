"""The language model behind the assisted mode: any server that speaks OpenAI's chat completions.

Whatever goes wrong here has a name and is an answer, not an exception: the deterministic mail goes out instead. What is
sent holds facts that are not personal, and placeholders for those that are.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, create_model

from dagster_project.lifecycle.drafting import WriterRequest, WriterResult
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.template import display

if TYPE_CHECKING:
    from openai import OpenAI

BREAKER_FAILURES = 3  # a server that failed three times in a row gets no fourth try in this run
SEED = 7
_CHARS_PER_TOKEN = 2  # the fewest we expect; a cap that cuts a fitting answer would waste the call


def load_prompt(prompts: Path) -> bytes:
    """The writer's instruction. Its hash is in the recipe of every mail it had a part in."""
    path = prompts / "writer.md"
    try:
        prompt = path.read_bytes()
        prompt.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(f"templates/prompts/writer.md: found {reason}, allowed: a readable UTF-8 file") from None
    return prompt


def open_writer(
    *, key: SecretStr | None, base_url: str | None, model: str, timeout_seconds: float, prompts: Path
) -> Writer | None:
    """A writer for one run, or None where neither key nor base URL is set: then nothing is constructed or called.

    `prompts` is the folder of the versioned instructions.
    """
    secret = key.get_secret_value() if key else ""
    if not secret and not base_url:
        return None
    if base_url and not re.match(r"https?://[^/\s]+", base_url):
        raise InputError(f"OPENAI_BASE_URL: found {base_url!r}; allowed: http://host[:port]/v1 or https://…")
    prompt = load_prompt(prompts)
    from openai import OpenAI  # a second that a run without a model need not spend

    client = OpenAI(
        api_key=secret or "none",  # local servers want none, the client insists on one
        base_url=base_url or "https://api.openai.com/v1",  # given, so that no environment variable decides it
        timeout=timeout_seconds,
        max_retries=0,  # the fallback is free; a retry would hold up the tick
    )
    return Writer(client, prompt, model, deadline_seconds=2 * timeout_seconds)


class Writer:
    """Calls a model once per request, at most three at a time, and stops after three failures in a row.

    Requests go out in waves no longer than what may still fail, and are counted in their order: so which calls are made
    does not depend on which answer came first. One object serves one run: an open breaker stays open.
    """

    def __init__(self, client: OpenAI, prompt: bytes, model: str, deadline_seconds: float) -> None:
        self._client, self._prompt, self._model = client, prompt, model
        self._deadline_seconds = deadline_seconds
        self._settings = {"model": model, "temperature": 0, "seed": SEED}
        self._failures_in_a_row = 0
        self._last_failure = ""

    def write(self, requests: Sequence[WriterRequest]) -> list[WriterResult]:
        """One result per request, in the same order."""
        results: list[WriterResult] = []
        with ThreadPoolExecutor(BREAKER_FAILURES, thread_name_prefix="writer") as pool:
            while len(results) < len(requests):
                if self._failures_in_a_row >= BREAKER_FAILURES:
                    results += [self._failed(self._last_failure)] * (len(requests) - len(results))
                    break
                size = BREAKER_FAILURES - self._failures_in_a_row
                results += self._wave(pool, requests[len(results) : len(results) + size])
        return results

    def _wave(self, pool: ThreadPoolExecutor, requests: Sequence[WriterRequest]) -> list[WriterResult]:
        futures = [pool.submit(self._write, request) for request in requests]
        # The client's timeout is per read: a server that sends a blank every second would hold the tick for ever.
        _, late = wait(futures, timeout=self._deadline_seconds)
        results = [self._failed("timeout", was_called=True) if each in late else each.result() for each in futures]
        for result in results:
            self._failures_in_a_row = self._failures_in_a_row + 1 if result.failure else 0
            self._last_failure = result.failure or self._last_failure
        if late:
            self._client.close()  # ends the late calls, and with them this run's
            self._failures_in_a_row, self._last_failure = BREAKER_FAILURES, "timeout"
        return results

    def _failed(self, failure: str, *, was_called: bool = False) -> WriterResult:
        return WriterResult(failure=failure, prompt=self._prompt, settings=self._settings, was_called=was_called)

    def _write(self, request: WriterRequest) -> WriterResult:
        started = time.perf_counter()
        slots, failure, usage = self._call(request)
        return WriterResult(
            slots=slots,
            failure=failure,
            prompt=self._prompt,
            settings=self._settings,
            model=usage.get("model", ""),
            tokens_in=usage.get("in", 0),
            tokens_out=usage.get("out", 0),
            seconds=time.perf_counter() - started,
            was_called=True,
        )

    def _call(self, request: WriterRequest) -> tuple[dict[str, str] | None, str | None, dict[str, Any]]:
        import openai  # loaded by open_writer already

        limit = sum(slot.max_chars for slot in request.slots.values()) // _CHARS_PER_TOKEN + 64
        try:
            answer = self._client.chat.completions.parse(
                model=self._model,
                messages=[
                    {"role": "system", "content": self._prompt.decode()},
                    {"role": "user", "content": question(request)},
                ],
                response_format=answer_model(request),
                temperature=0,
                seed=SEED,
                max_completion_tokens=limit,
            )
        except (openai.OpenAIError, ValidationError, ValueError, TypeError, AttributeError, LookupError) as error:
            return None, _name(error), {}
        return _read(answer)


def _name(error: Exception) -> str:
    """The fallback reason for what the client raised. A class comes before the classes it inherits from."""
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
    return "malformed"  # the client trusts the shape of a 200: anything else in it surfaces as some other error


def question(request: WriterRequest) -> str:
    """What the model is asked, as JSON: no personal value, nothing that differs between people of one pattern."""
    known = set(request.placeholders)
    return json.dumps(
        {
            "campaign": request.campaign_title,
            "tone": request.tone,
            "locale": request.locale,
            "facts": {name: display(value) for name, value in request.facts.items() if value is not None},
            "placeholders": [f"{{{{{name}}}}}" for name in request.placeholders],
            "slots": {
                name: {
                    "description": slot.description,
                    "max_chars": slot.max_chars,
                    "may_use": [f"{{{{{token}}}}}" for token in slot.placeholders if token in known],
                    "must_use": [f"{{{{{token}}}}}" for token in slot.must_include if token in known],
                }
                for name, slot in request.slots.items()
            },
        },
        ensure_ascii=False,
        sort_keys=True,
    )


def answer_model(request: WriterRequest) -> type[BaseModel]:
    """One string per slot and nothing besides, as a strict JSON schema."""
    fields: dict[str, Any] = {
        name: (str, Field(description=f"{slot.description} At most {slot.max_chars} characters."))
        for name, slot in request.slots.items()
    }
    return create_model("Slots", __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _read(answer: Any) -> tuple[dict[str, str] | None, str | None, dict[str, Any]]:
    """Slots or a failure from what the server said. Nothing about its shape is taken for granted."""
    used = getattr(answer, "usage", None)
    usage = {
        "model": str(getattr(answer, "model", "") or ""),
        "in": _count(getattr(used, "prompt_tokens", 0)),
        "out": _count(getattr(used, "completion_tokens", 0)),
    }
    choices = getattr(answer, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    if getattr(message, "refusal", None):
        return None, "refused", usage
    parsed = getattr(message, "parsed", None)
    if not isinstance(parsed, BaseModel):
        return None, "malformed", usage
    return parsed.model_dump(), None, usage


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
