"""Recorded answers of language models: one JSON line each, by the hash of all that was sent. What it holds was said by models, so
it has no person's value: none was in what they were asked.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from dagster_project.adapters.language_model import SEED
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.roles.call import Answer, Ask, Question

KIND = "postrider cassette 1"
_SHORT = 12
_HEADER = {"kind": str, "models": list, "note": str}
_LINE: Mapping[str, tuple[type, ...]] = {
    "key": (str,),
    "role": (str,),
    "campaign_id": (str,),
    "prompt": (str,),
    "input": (str,),
    "answer": (dict, type(None)),
    "failure": (str, type(None)),
    "asked": (str,),
    "model": (str,),
    "tokens_in": (int, type(None)),
    "tokens_out": (int, type(None)),
    "dollars": (str, type(None)),
    "milliseconds": (int,),
    "calls": (int,),  # 0: asked about in another one's call
}


def answer_key(question: Question, prompt: bytes, models: Sequence[str]) -> str:
    """Of what is sent: role, models, instruction, input and the form of the answer. A template's footer isn't sent and isn't in it."""
    return content_hash(
        {
            "role": question.role,
            "models": list(models),
            "prompt": content_hash(prompt),
            "input": content_hash(question.content),
            "form": content_hash(question.schema),
        }
    )


@dataclasses.dataclass(frozen=True)
class Cassette:
    """The answers of one recording. `note` says who answered."""

    file: str
    models: tuple[str, ...]
    note: str
    lines: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def replaying(self, prompts: Mapping[str, bytes]) -> Ask:
        """Answers as they were recorded, and calls nobody. InputError for the first question that it has no answer to."""

        def ask(questions: Sequence[Question]) -> list[Answer]:
            return [self._answer(one, prompts[one.role]) for one in questions]

        return ask

    def _answer(self, question: Question, prompt: bytes) -> Answer:
        line = self.lines.get(answer_key(question, prompt, self.models))
        if line is None:
            raise InputError(
                f"{self.file}: found no answer of the {question.role} for {question.campaign_id} to prompt "
                f"{content_hash(prompt)[:_SHORT]} and input {content_hash(question.content)[:_SHORT]}, "
                f"allowed: a recording of every call; `postrider drafts eval --record {self.file}` makes one"
            )
        tokens = (line["tokens_in"] or 0) + (line["tokens_out"] or 0)
        return Answer(
            content=line["answer"],
            failure=line["failure"],
            prompt=prompt,
            settings={"model": line["asked"], "temperature": 0, "seed": SEED},
            model=line["model"],
            tokens_in=line["tokens_in"],
            tokens_out=line["tokens_out"],
            cost=Cost(line["calls"], tokens, None if line["dollars"] is None else Decimal(line["dollars"])),
            seconds=line["milliseconds"] / 1000,
            was_called=True,
        )


class Recorder:
    """Asks what an earlier recording doesn't have, and keeps the answers of this one alone."""

    def __init__(self, before: Cassette | None, ask: Ask, prompts: Mapping[str, bytes], models: Sequence[str]) -> None:
        is_same = before is not None and list(before.models) == list(models)
        self._before: Mapping[str, Mapping[str, Any]] = before.lines if before is not None and is_same else {}
        self._ask, self._prompts, self._models = ask, prompts, tuple(models)
        self._lines: dict[str, Mapping[str, Any]] = {}

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Refusal where a call could not be made: half a recording is none."""
        keys = [answer_key(one, self._prompts[one.role], self._models) for one in questions]
        known = Cassette("", self._models, "", self._before)
        told: dict[str, Answer] = {}
        new: dict[str, Question] = {}
        for key, question in zip(keys, questions, strict=True):
            if key in self._before and self._before[key]["failure"] is None:
                (told[key],) = known.replaying(self._prompts)([question])
                self._lines[key] = self._before[key]
            else:
                new[key] = question
        for (key, question), answer in zip(new.items(), self._ask(list(new.values())) if new else (), strict=True):
            if not answer.was_called:
                raise Refusal(f"the {question.role} could not be asked ({answer.failure}): nothing was recorded")
            told[key] = answer
            self._lines[key] = _line(key, question, answer)
        return [told[key] for key in keys]

    def cassette(self, file: str, note: str) -> Cassette:
        return Cassette(file, self._models, note, self._lines)


def _line(key: str, question: Question, answer: Answer) -> dict[str, Any]:
    return {
        "key": key,
        "role": question.role,
        "campaign_id": question.campaign_id,
        "prompt": content_hash(answer.prompt),
        "input": content_hash(question.content),
        "answer": None if answer.content is None else dict(answer.content),
        "failure": answer.failure,
        "asked": str(answer.settings.get("model", "")),
        "model": answer.model,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "dollars": None if answer.cost.dollars is None else str(answer.cost.dollars),
        "milliseconds": round(answer.seconds * 1000),
        "calls": answer.cost.calls,
    }


def write_cassette(cassette: Cassette, path: Path) -> None:
    """Whole or not at all, in an order that doesn't depend on when a call was answered."""
    header = {"kind": KIND, "models": list(cassette.models), "note": cassette.note}
    ordered = sorted(cassette.lines.values(), key=lambda line: (line["campaign_id"], line["role"], line["key"]))
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in [header, *ordered])
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; allowed: a file in a folder that this user can write") from None


def read_cassette(path: Path) -> Cassette:
    """InputError for what is none, with the line."""
    try:
        rows = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(f"{path}: found {reason}, allowed: a recording made by drafts eval --record") from None
    header = _read(rows[0] if rows else "", path, 1)
    if header.get("kind") != KIND or any(not isinstance(header.get(name), kind) for name, kind in _HEADER.items()):
        raise InputError(f"{path}:1: found no header, allowed: kind {KIND!r}, models and note")
    lines = {}
    for number, row in enumerate(rows[1:], start=2):
        line = {"calls": 1} | _read(row, path, number)  # of recordings from before readers shared calls
        wrong = [name for name, kinds in _LINE.items() if not _is_one_of(line.get(name), kinds)]
        if wrong or set(line) != set(_LINE) or (line["answer"] is None) == (line["failure"] is None):
            what = wrong[0] if wrong else "keys, or answer and failure,"
            raise InputError(f"{path}:{number}: found {what} as no recording has it, allowed: {', '.join(_LINE)}")
        try:
            _ = line["dollars"] is None or Decimal(line["dollars"])
        except InvalidOperation:
            raise InputError(f"{path}:{number}: dollars: found {line['dollars']!r}, allowed: an amount") from None
        lines[line["key"]] = line
    return Cassette(str(path), tuple(map(str, header["models"])), header["note"], lines)


def _is_one_of(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _read(row: str, path: Path, number: int) -> dict[str, Any]:
    try:
        read = json.loads(row)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise InputError(f"{path}:{number}: found no JSON object, allowed: one per line")
    return read


Heard = list[tuple[Question, Answer]]


def heard(ask: Ask) -> tuple[Callable[[Sequence[Question]], list[Answer]], Heard]:
    """The same way of asking, and every call that is made through it from now on."""
    calls: Heard = []

    def asking(questions: Sequence[Question]) -> list[Answer]:
        answers = list(ask(questions))
        calls.extend(zip(questions, answers, strict=True))
        return answers

    return asking, calls
