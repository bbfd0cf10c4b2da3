"""Embeddings of a real server on loopback: asked for once, merged with what words found, and done without when anything goes wrong."""

from __future__ import annotations

import dataclasses
import json
import socket
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project.adapters.embeddings import TEXTS_PER_CALL, Asking, Embedder, connect
from dagster_project.lifecycle.budget import Budget, Cost
from dagster_project.lifecycle.knowledge import Excerpt
from dagster_project.lifecycle.retrieval import Question, fused
from dagster_project.lifecycle.roles.call import Answer
from dagster_project.lifecycle.roles.call import Question as Asked
from tests.http_server import PromptServer

TIMEOUT_SECONDS = 1.0
MEANINGS = ("watch", "file", "person")  # one direction each; a text points where its words say


def embed(text: str) -> list[float]:
    return [1.0 if word in text else 0.01 for word in MEANINGS]


class Server:
    """Speaks /v1/embeddings as OpenAI does; what it answers can be changed."""

    def __init__(self, server: HTTPServer) -> None:
        self.asked: list[list[str]] = []
        self.status = 200
        self.change = lambda body: body
        self.wait = 0.0
        self.url = server.url_for("/v1")
        server.expect_request("/v1/embeddings", method="POST").respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        texts = request.get_json()["input"]
        self.asked.append(texts)
        time.sleep(self.wait)
        data = [{"object": "embedding", "index": at, "embedding": embed(text)} for at, text in enumerate(texts)]
        usage = {"prompt_tokens": 5 * len(texts), "total_tokens": 5 * len(texts)}
        body = {"object": "list", "data": data[::-1], "model": "e-1", "usage": usage}  # in any order: the index counts
        return Response(json.dumps(self.change(body)), status=self.status, content_type="application/json")


@pytest.fixture
def server() -> Iterator[Server]:
    with PromptServer(host="127.0.0.1", threaded=True) as running:
        yield Server(running)


NO_LIMIT, NOTHING_YET = Budget(), Cost()


@dataclasses.dataclass
class Run:
    """One run's purse and its record of calls."""

    home: Path
    url: str
    budget: Budget = NO_LIMIT
    spent: Cost = NOTHING_YET
    calls: list[tuple[str, Answer]] = dataclasses.field(default_factory=list)
    model: str = "text-embedding-3-small"

    def embedder(self) -> Embedder:
        client = connect(None, self.url, TIMEOUT_SECONDS)
        asking = Asking(client, TIMEOUT_SECONDS, lambda cost: self.budget.admits(self.spent + cost), self.paid)
        return Embedder(self.model, self.url, self.home, asking)

    def paid(self, key: str, request: Asked, result: Answer) -> None:
        assert request.campaign_id == ""
        self.spent += result.cost
        self.calls.append((key, result))


ALERTS = Excerpt("alerts#1", "help_article", "Alerts", "to watch a number")
EXPORTS = Excerpt("exports#1", "help_article", "Exports", "rows into a file")
INVITE = Excerpt("invite#1", "help_article", "Invite", "a person")
ALL = (ALERTS, EXPORTS, INVITE)
KEEP_AN_EYE = Question("", "keep watch over sales")


def test_what_is_nearest_comes_first(server: Server, tmp_path: Path) -> None:
    """Though no word is shared; of what this writer may not see nothing is told."""
    near = Run(tmp_path, server.url).embedder().nearest([KEEP_AN_EYE], ALL)

    assert near.said == "with embeddings of text-embedding-3-small"
    assert near.orders[KEEP_AN_EYE](ALL)[0] == ALERTS
    assert near.orders[KEEP_AN_EYE]((EXPORTS, INVITE)) == [EXPORTS, INVITE], "equally far: by their ids"


def test_a_text_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    """The next run has it from its files; a new text alone is asked for; another model or server has vectors of its own."""
    first = Run(tmp_path, server.url)
    orders = first.embedder().nearest([KEEP_AN_EYE], ALL).orders[KEEP_AN_EYE](ALL)
    again = Run(tmp_path, server.url)
    assert again.embedder().nearest([KEEP_AN_EYE], ALL).orders[KEEP_AN_EYE](ALL) == orders
    assert again.calls == [] and len(server.asked) == 1

    changed = dataclasses.replace(ALERTS, text="to watch two numbers")
    again.embedder().nearest([KEEP_AN_EYE], (changed, EXPORTS, INVITE))
    assert server.asked[1:] == [[changed.shown]]

    Run(tmp_path, server.url, model="other").embedder().nearest([KEEP_AN_EYE], ALL)
    assert len(server.asked[2]) == 4


def test_each_call_is_told_with_its_cost(server: Server, tmp_path: Path) -> None:
    """So that the ledger can keep it and the budget counts it; of the vectors their hash."""
    run = Run(tmp_path, server.url)
    run.embedder().nearest([KEEP_AN_EYE], ALL)
    ((key, result),) = run.calls

    assert len(key) == 64
    assert (result.was_called, result.failure, result.tokens_in, result.model) == (True, None, 20, run.model)
    assert result.cost.dollars is None, "the price list has no embeddings"
    assert set(result.content or {}) == {"vectors"}


def test_many_texts_are_asked_for_in_several_calls(server: Server, tmp_path: Path) -> None:
    """None twice; a failure in the middle keeps what had come."""
    many = tuple(
        Excerpt(f"a#{number}", "help_article", "T", f"watch {number}") for number in range(TEXTS_PER_CALL + 10)
    )
    Run(tmp_path, server.url).embedder().nearest([KEEP_AN_EYE], many)

    assert [len(texts) for texts in server.asked] == [TEXTS_PER_CALL, 11]


BROKEN = {
    "no data": lambda body: {**body, "data": []},
    "an index twice": lambda body: {**body, "data": [*body["data"][:-1], body["data"][0]]},
    "no numbers": lambda body: {**body, "data": [{**one, "embedding": ["x"]} for one in body["data"]]},
    "nothing but noughts": lambda body: {**body, "data": [{**one, "embedding": [0, 0, 0]} for one in body["data"]]},
    "no end of a number": lambda body: {**body, "data": [{**one, "embedding": [1e999, 1, 1]} for one in body["data"]]},
    "different lengths": lambda body: {
        **body, "data": [{**one, "embedding": [1.0] * (2 + one["index"])} for one in body["data"]]
    },
    "no object": lambda body: "sorry",
    "no usage": lambda body: {**body, "usage": None},
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_answer_is_done_without(server: Server, tmp_path: Path, kind: str) -> None:
    """Words alone decide, and the recipe says why."""
    server.change = BROKEN[kind]
    near = Run(tmp_path, server.url).embedder().nearest([KEEP_AN_EYE], ALL)

    assert (near.orders, near.said) == ({}, "without embeddings: malformed")


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "server_error"), (429, "rate_limited"), (404, "refused"), (401, "refused")]
)
def test_a_refusal_is_named_and_told(server: Server, tmp_path: Path, status: int, reason: str) -> None:
    """One call, whatever there was to ask: a server that failed once is not asked again in this run."""
    server.status = status
    run = Run(tmp_path, server.url)
    near = run.embedder().nearest([KEEP_AN_EYE], ALL)

    assert (near.orders, near.said) == ({}, f"without embeddings: {reason}")
    assert [(result.failure, result.content) for _, result in run.calls] == [(reason, None)]
    assert len(server.asked) == 1


def test_a_server_that_is_down_or_never_ends_costs_one_timeout(server: Server, tmp_path: Path) -> None:
    """And no more."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    assert Run(tmp_path, url).embedder().nearest([KEEP_AN_EYE], ALL).said == "without embeddings: server_error"

    server.wait = 10 * TIMEOUT_SECONDS
    started = time.perf_counter()
    assert Run(tmp_path, server.url).embedder().nearest([KEEP_AN_EYE], ALL).said == "without embeddings: timeout"
    assert time.perf_counter() - started < 8 * TIMEOUT_SECONDS  # a busy machine


@pytest.mark.parametrize("budget", [Budget(calls=0), Budget(tokens=10), Budget(dollars=Decimal(9))])
def test_no_budget_is_overrun(server: Server, tmp_path: Path, budget: Budget) -> None:
    """The most that a call may take is set aside before it; what has no price is over any limit in dollars."""
    near = Run(tmp_path, server.url, budget).embedder().nearest([KEEP_AN_EYE], ALL)

    assert near.said == "without embeddings: over_budget"
    assert server.asked == []


def test_who_only_plans_asks_for_nothing(server: Server, tmp_path: Path) -> None:
    """But what is kept serves a plan as it serves the run."""
    planning = Embedder("text-embedding-3-small", server.url, tmp_path, None)
    assert planning.nearest([KEEP_AN_EYE], ALL).said == "without embeddings: not_asked"
    Run(tmp_path, server.url).embedder().nearest([KEEP_AN_EYE], ALL)

    assert planning.nearest([KEEP_AN_EYE], ALL).orders[KEEP_AN_EYE](ALL)[0] == ALERTS
    assert len(server.asked) == 1


def test_a_damaged_file_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    """As one that isn't there."""
    Run(tmp_path, server.url).embedder().nearest([KEEP_AN_EYE], ALL)
    files = sorted(tmp_path.rglob("*.npy"))
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:-3])
    near = Run(tmp_path, server.url).embedder().nearest([KEEP_AN_EYE], ALL)

    assert near.orders[KEEP_AN_EYE](ALL)[0] == ALERTS
    assert [len(texts) for texts in server.asked] == [4, 2]
    assert len(files) == 4 and {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".npy"}


@settings(deadline=None)
@given(st.permutations(ALL), st.permutations(ALL))
def test_fusion_depends_on_ranks_alone(words: Sequence[Excerpt], vectors: Sequence[Excerpt]) -> None:
    """First in both is first; nothing is lost and nothing comes twice; which order is told first changes nothing."""
    merged = fused(words, vectors)

    assert sorted(one.id for one in merged) == sorted(one.id for one in ALL)
    assert merged == fused(vectors, words)
    if words[0] == vectors[0]:
        assert merged[0] == words[0]
