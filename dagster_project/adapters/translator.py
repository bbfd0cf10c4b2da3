"""A language model that translates a catalogue's messages: any server that speaks OpenAI's chat completions.

It sees the author's words and no fact of anybody. What it says is a draft: whoever writes it into a catalogue flags it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, create_model

from dagster_project.adapters.language_model import SEED
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.translation import Language, Message, form_of

if TYPE_CHECKING:
    from openai import OpenAI

_PROMPT = "translator.md"
_AT_ONCE = 20  # messages per call: an answer of some 2,000 tokens
_FAILURES = 3  # in a row: a server that failed so often gets no fourth call
_COUNTS = range(201)
_EXAMPLES = 6  # of the numbers that a plural form is said of
_TIMES = 4  # the timeout of a slot's few words, for twenty messages at once


def open_translator(
    *, key: SecretStr | None, base_url: str | None, model: str, timeout_seconds: float, prompts: Path, calls: int | None
) -> Translator | None:
    """A translator for one run, or None where neither key nor base URL is set."""
    secret = key.get_secret_value() if key else ""
    if not secret and not base_url:
        return None
    try:
        prompt = (prompts / _PROMPT).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"templates/prompts/{_PROMPT}: found {error}, allowed: a readable UTF-8 file") from None
    from openai import OpenAI  # a second that a run without a model need not spend

    client = OpenAI(
        api_key=secret or "none",
        base_url=base_url or "https://api.openai.com/v1",
        timeout=timeout_seconds * _TIMES,
        max_retries=0,
    )
    return Translator(client, prompt, model, calls)


class Translator:
    """Asks for some messages per call, in their order. `failures` counts the calls that gave nothing, by name."""

    def __init__(self, client: OpenAI, prompt: str, model: str, calls: int | None) -> None:
        self._client, self._prompt, self._model, self._calls = client, prompt, model, calls
        self.failures: dict[str, int] = {}

    def translate(self, messages: Sequence[Message], to: Language) -> dict[Message, tuple[str, ...]]:
        """What came back, one text per plural form. A message of a call that failed is not in it."""
        found: dict[Message, tuple[str, ...]] = {}
        in_a_row = made = 0
        for start in range(0, len(messages), _AT_ONCE):
            if in_a_row >= _FAILURES or (self._calls is not None and made >= self._calls):
                self._failed("not_asked")
                continue
            some = messages[start : start + _AT_ONCE]
            made += 1
            answer = self._ask(some, to)
            in_a_row = 0 if answer else in_a_row + 1
            found |= answer
        return found

    def _failed(self, name: str) -> None:
        self.failures[name] = self.failures.get(name, 0) + 1

    def _ask(self, messages: Sequence[Message], to: Language) -> dict[Message, tuple[str, ...]]:
        import openai  # loaded by open_translator already

        kinds = _plural_forms(to)
        keys = {f"m{number}": message for number, message in enumerate(messages)}
        fields: dict[str, Any] = {name: (list[str] if each.many else str, ...) for name, each in keys.items()}
        schema: type[BaseModel] = create_model(
            "Translations", __config__=ConfigDict(extra="forbid", strict=True), **fields
        )
        question = {
            "locale": to.locale,
            "plural_forms": kinds,
            "messages": {name: _question(message) for name, message in keys.items()},
        }
        try:
            answer = self._client.chat.completions.parse(
                model=self._model,
                messages=[
                    {"role": "system", "content": self._prompt},
                    {"role": "user", "content": json.dumps(question, ensure_ascii=False)},
                ],
                response_format=schema,
                temperature=0,
                seed=SEED,
            )
            parsed = answer.choices[0].message.parsed
        except openai.OpenAIError as error:
            self._failed(type(error).__name__)
            return {}
        except (ValidationError, ValueError, TypeError, AttributeError, LookupError):
            parsed = None  # the client trusts the shape of a 200
        if not isinstance(parsed, BaseModel):
            self._failed("malformed")
            return {}
        said = parsed.model_dump()
        return {
            message: tuple(said[name]) if message.many else (said[name],)
            for name, message in keys.items()
            if said[name] and (not message.many or len(said[name]) == len(kinds))
        }


def _plural_forms(to: Language) -> list[str]:
    """Of each plural form the first numbers that it is said of."""
    rule, numbers = form_of(to.plural), {}
    for count in _COUNTS:
        numbers.setdefault(rule(count), []).append(str(count))
    return [
        f"{', '.join(said[:_EXAMPLES])}{' …' if len(said) > _EXAMPLES else ''}" for _, said in sorted(numbers.items())
    ]


def _question(message: Message) -> Mapping[str, object]:
    asked: dict[str, object] = {"words": message.one, "where": message.file}
    if message.many:
        asked |= {"plural": message.many, "counted": message.counted}
    if message.note:
        asked["note"] = message.note
    if message.max_chars:
        asked["max_chars"] = message.max_chars
    return asked
