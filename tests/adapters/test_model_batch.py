"""Many patterns by files and batches of a real server: one batch per step, one budget, and nobody waits for ever."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project.adapters.model_batch import BatchLimits
from dagster_project.adapters.model_chain import Limits, open_models
from dagster_project.adapters.prompts import load_prompts
from dagster_project.lifecycle.budget import Budget
from dagster_project.lifecycle.roles.call import Answer, Ask, Question
from dagster_project.lifecycle.roles.policy import policy_question
from dagster_project.lifecycle.roles.reviewer import reviewer_question
from dagster_project.lifecycle.roles.writer import WriterRequest, writer_question
from dagster_project.lifecycle.template import SlotSpec
from tests.http_server import PromptServer
from tests.model_server import PATH, Batches, Handler, as_json, completion, saying

PROMPTS = load_prompts(Path(__file__).parents[2] / "templates" / "prompts")
TEXT = {"opening": "All is as you left it."}


SLOTS = {"opening": SlotSpec(description="Say hello.", max_chars=80)}
REQUEST = WriterRequest("winback", "default", "T", "en", "warm", "v1", SLOTS, {}, ())


def questions(number: int) -> list[Question]:
    return [writer_question(dataclasses.replace(REQUEST, facts={"weeks": one})) for one in range(number)]


class Served:
    """A server with both ways to ask, and the chain that asks it."""

    def __init__(self, server: HTTPServer, handler: Handler) -> None:
        self.server, self.ordinary = server, 0
        self.batches = Batches(server, handler)
        self.recorded: list[Answer] = []
        server.expect_request(PATH, method="POST").respond_with_handler(self._answer)
        self._handler = handler

    def _answer(self, request: Request) -> Response:
        self.ordinary += 1
        return self._handler(request)

    def asking(self, above: int = 4, seconds: float = 5.0, budget: Budget | None = None) -> Ask:
        chain = open_models(
            key=SecretStr("k"),
            base_url=self.server.url_for("/v1"),
            names=["small"],
            prompts=PROMPTS,
            limits=Limits(budget or Budget(), {}, 2.0, 60.0),
            spent={},
            batches=BatchLimits(above, seconds, pause=0.02),
        )
        assert chain is not None
        return chain.remembering(lambda _: {}, lambda calls: self.recorded.extend(one for _, _, one in calls))


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with PromptServer(host="127.0.0.1", threaded=True) as running:
        yield running


def failures(answers: Sequence[Answer]) -> list[str | None]:
    return [one.failure for one in answers]


def test_more_than_the_declared_number_go_as_one_batch(server: HTTPServer) -> None:
    """Answered as ordinary calls are, with tokens and cost, each on record; nothing stays at the server."""
    served = Served(server, saying(TEXT))
    answers = served.asking()(questions(6))

    assert [one.content for one in answers] == [TEXT] * 6
    assert {(one.tokens_in, one.tokens_out, one.model, one.was_called) for one in answers} == {
        (120, 30, "small-1", True)
    }
    assert (len(served.batches.taken), served.ordinary, len(served.recorded)) == (1, 0, 6)
    assert sorted(served.batches.deleted) == sorted(served.batches.files)


def test_as_many_and_fewer_are_asked_one_by_one(server: HTTPServer) -> None:
    served = Served(server, saying(TEXT))
    served.asking()(questions(4))

    assert (served.batches.taken, served.ordinary) == ([], 4)


def test_a_line_of_a_batch_is_what_an_ordinary_call_sends(server: HTTPServer) -> None:
    """Model, words, schema, seed and limit: so the answers are worth the same."""
    bodies: list[dict] = []

    def keep(request: Request) -> Response:
        bodies.append(request.get_json())
        return saying(TEXT)(request)

    served = Served(server, keep)
    asked = [writer_question(REQUEST), reviewer_question(REQUEST, TEXT), policy_question(REQUEST, TEXT, ["Be true."])]
    served.asking(above=0)(asked)
    for one in asked:
        served.asking(above=1)([one])

    assert (len(served.batches.taken), served.ordinary) == (1, 3)
    assert bodies[:3] == [{name: value for name, value in body.items() if name != "stream"} for body in bodies[3:]]


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (saying({"other": "x"}), "malformed"),
        (as_json(completion("{")), "malformed"),
        (as_json(completion(json.dumps(TEXT), finish="length")), "over_length"),
        (as_json(completion(None, refusal="no")), "refused"),
        (as_json({"what": 1}), "malformed"),
    ],
)
def test_what_is_wrong_with_an_answer_has_the_same_name(server: HTTPServer, handler: Handler, failure: str) -> None:
    """And is not asked again."""
    served = Served(server, handler)

    assert failures(served.asking(above=1)(questions(3))) == [failure] * 3
    assert served.ordinary == 0


def test_what_is_not_back_in_time_is_asked_one_by_one_as_far_as_there_may_be(server: HTTPServer) -> None:
    """The batch is cancelled, its calls count as the most that they can have cost; the rest says that it was late."""
    served = Served(server, saying(TEXT))
    served.batches.looks = 10_000
    answers = served.asking(above=2, seconds=0.2)(questions(5))

    assert sorted(failures(answers), key=str) == [None, None, "batch_late", "batch_late", "batch_late"]
    assert served.ordinary == 2
    assert len(served.batches.cancelled) == 1
    assert failures(served.recorded[:5]) == ["batch_late"] * 5
    assert all(one.cost.tokens > 0 for one in served.recorded[:5])


def test_a_server_without_batches_is_asked_for_one_once(server: HTTPServer) -> None:
    """Nothing was taken, so nothing is charged for it; ordinary calls go on."""
    served = Served(server, saying(TEXT))
    served.batches.is_refusing = True
    ask = served.asking(above=2)

    assert failures(ask(questions(3))).count(None) == 2
    assert failures(ask(questions(4))) == [None] * 4
    assert (served.batches.taken, served.ordinary, len(served.recorded)) == ([], 6, 6)


def test_a_batch_is_held_to_the_same_budget(server: HTTPServer) -> None:
    """Each text with its two readers: seven calls are two texts."""
    served = Served(server, saying(TEXT))
    answers = served.asking(above=1, budget=Budget(calls=7))(questions(5))

    assert sorted(failures(answers), key=str) == [None, None, "over_budget", "over_budget", "over_budget"]
    assert len(served.batches.taken[0]) == 2
    assert served.ordinary == 0
