"""A recording answers what was asked while it was made, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from pathlib import Path

import pytest

from dagster_project.adapters.cassette import Cassette, Recorder, read_cassette, write_cassette
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.roles.call import Answer, Question
from dagster_project.lifecycle.roles.writer import WriterRequest, writer_question
from dagster_project.lifecycle.template import SlotSpec

PROMPTS = {"writer": b"write", "reviewer": b"review", "policy": b"enforce"}
QUESTION = writer_question(
    WriterRequest(
        "winback",
        "default",
        "Win back",
        "en",
        "warm",
        "v1",
        {"opening": SlotSpec(description="Hi.", max_chars=80)},
        {},
        (),
    )
)
ANSWER = Answer(
    content={"opening": "All is there."}, prompt=b"write", settings={"model": "m"}, model="m-1", tokens_in=10, tokens_out=4,
    cost=Cost(1, 14, Decimal("0.001")), seconds=0.25, was_called=True,
)  # fmt: skip


class Server:
    """Answers all alike and counts."""

    def __init__(self, answer: Answer = ANSWER) -> None:
        self.answer, self.asked = answer, list[Question]()

    def ask(self, questions: list[Question]) -> list[Answer]:
        self.asked += questions
        return [self.answer for _ in questions]


def recorded(path: Path, answer: Answer = ANSWER) -> Cassette:
    recorder = Recorder(None, Server(answer).ask, PROMPTS, ["m"])
    recorder.ask([QUESTION])
    write_cassette(recorder.cassette(str(path), "a test"), path)
    return read_cassette(path)


def test_what_was_recorded_comes_back_with_its_cost(tmp_path: Path) -> None:
    """Words, tokens, price and latency; the recording says who answered, and holds hashes of what was asked."""
    cassette = recorded(tmp_path / "c.jsonl")
    (answer,) = cassette.replaying(PROMPTS)([QUESTION])

    assert answer == dataclasses.replace(ANSWER, settings={"model": "m", "temperature": 0, "seed": 7})
    assert (cassette.models, cassette.note) == (("m",), "a test")
    (line,) = cassette.lines.values()
    assert (line["prompt"], line["input"]) == (content_hash(b"write"), content_hash(QUESTION.content))


def test_a_failure_is_recorded_too(tmp_path: Path) -> None:
    failure = dataclasses.replace(ANSWER, content=None, failure="malformed")
    (answer,) = recorded(tmp_path / "c.jsonl", failure).replaying(PROMPTS)([QUESTION])

    assert (answer.content, answer.failure) == (None, "malformed")


@pytest.mark.parametrize("what", ["prompt", "input", "role", "models"])
def test_a_missing_answer_is_one_line(tmp_path: Path, what: str) -> None:
    """Another prompt, input, role or model is another question."""
    cassette, prompts, question = recorded(tmp_path / "c.jsonl"), PROMPTS, QUESTION
    if what == "prompt":
        prompts = PROMPTS | {"writer": b"write well"}
    elif what == "input":
        question = dataclasses.replace(QUESTION, content="{}")
    elif what == "role":
        question = dataclasses.replace(QUESTION, role="policy")
    else:
        cassette = dataclasses.replace(cassette, models=("other",))

    with pytest.raises(InputError, match=rf"^{tmp_path}/c\.jsonl: found no answer of the .* allowed: a recording"):
        cassette.replaying(prompts)([question])


def test_what_the_model_is_not_shown_changes_nothing(tmp_path: Path) -> None:
    """A template's footer is part of its version and of no question."""
    other = dataclasses.replace(QUESTION, scope=("default", "v2"))

    assert recorded(tmp_path / "c.jsonl").replaying(PROMPTS)([other])[0].content == ANSWER.content


def test_a_second_recording_asks_only_what_is_new_and_keeps_only_what_is_asked(tmp_path: Path) -> None:
    before = recorded(tmp_path / "c.jsonl")
    new, server = dataclasses.replace(QUESTION, content="{}"), Server()
    recorder = Recorder(before, server.ask, PROMPTS, ["m"])
    recorder.ask([QUESTION, new])

    assert server.asked == [new]
    assert len(recorder.cassette("", "").lines) == 2
    again = Recorder(recorder.cassette("", ""), server.ask, PROMPTS, ["m"])
    again.ask([new])
    assert len(again.cassette("", "").lines) == 1
    assert server.asked == [new]


def test_half_a_recording_is_none() -> None:
    """A call that a budget or a dead server prevented stops it."""
    recorder = Recorder(None, Server(Answer(failure="over_budget")).ask, PROMPTS, ["m"])

    with pytest.raises(Refusal, match=r"the writer could not be asked \(over_budget\): nothing was recorded"):
        recorder.ask([QUESTION])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "c.jsonl:2: found no JSON object"),
        ("[]", "c.jsonl:2: found no JSON object"),
        ('{"key": 1}', "c.jsonl:2: found key as no recording has it"),
    ],
)
def test_a_broken_line_is_told_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "c.jsonl"
    recorded(path)
    path.write_text(f"{path.read_text().splitlines()[0]}\n{line}\n")

    with pytest.raises(InputError) as error:
        read_cassette(path)
    assert said in str(error.value)


@pytest.mark.parametrize("key", ["answer", "tokens_in", "dollars", "milliseconds"])
def test_a_line_that_was_changed_by_hand_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "c.jsonl"
    recorded(path)
    header, row = path.read_text().splitlines()
    path.write_text(f"{header}\n{json.dumps(json.loads(row) | {key: 'x'})}\n")

    with pytest.raises(InputError, match=r"c\.jsonl:2: "):
        read_cassette(path)


@pytest.mark.parametrize("text", [None, "", "{}\n", '{"kind": "other", "models": [], "note": ""}\n'])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "c.jsonl"
    if text is not None:
        path.write_text(text)

    with pytest.raises(InputError, match=r"c\.jsonl"):
        read_cassette(path)
