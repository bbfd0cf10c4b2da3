"""Whole ticks whose writers look something up, with a real HTTP server that speaks OpenAI's protocol: chat and embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project.commands.explain import explain
from dagster_project.commands.plan import plan
from dagster_project.commands.review import show
from dagster_project.commands.run import Report
from dagster_project.home import Home
from dagster_project.lifecycle.message import content_hash
from tests.http_server import PromptServer
from tests.model_server import PLEASED, SILENT, WELL, role_of, shown

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
Tick = Callable[..., Report]


class Model:
    """Writes one good sentence into each slot, gives each text a vector, and keeps what it was asked."""

    def __init__(self, server: HTTPServer) -> None:
        self.calls = 0
        self.asked: list[dict[str, object]] = []
        self.embedded: list[list[str]] = []
        self.embeddings_status = 200
        self.url = server.url_for("/v1")
        server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self.chat)
        server.expect_request("/v1/embeddings", method="POST").respond_with_handler(self.embed)

    def chat(self, request: Request) -> Response:
        asked = json.loads(request.get_json()["messages"][1]["content"])
        self.calls += 1
        self.asked += shown(request)
        if (role := role_of(request)) != "writer":
            return (PLEASED if role == "reviewer" else SILENT)(request)
        words = {name: " ".join([WELL[asked["locale"]], *slot["must_use"]]) for name, slot in asked["slots"].items()}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(words)}}
        usage = {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        return Response(json.dumps(body), content_type="application/json")

    def embed(self, request: Request) -> Response:
        texts = request.get_json()["input"]
        self.embedded.append(texts)
        data = [
            {"object": "embedding", "index": at, "embedding": [1.0, len(text) / 100, text.count("e") / 10]}
            for at, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 7 * len(texts), "total_tokens": 7 * len(texts)}
        body = {"object": "list", "data": data, "model": "e-1", "usage": usage}
        return Response(json.dumps(body), status=self.embeddings_status, content_type="application/json")


@pytest.fixture
def model() -> Iterator[Model]:
    with PromptServer(host="127.0.0.1") as server:
        yield Model(server)


def test_what_writers_looked_up_is_on_their_drafts(
    make_home: Callable[..., Home], tick: Tick, call: Callable[..., tuple[int, str, str]], model: Model
) -> None:
    """The plan counts what the run asks; each question quotes excerpts within the budget; from a draft's recipe they are found, byte for
    byte, and told by review and explain; an hour later nothing is asked."""
    home = make_home(openai_base_url=model.url, openai_api_key="k")
    planned = plan(home, MORNING)
    report = tick(home, MORNING)

    assert report.error is None
    assert report.model["calls"] == planned["calls"] == model.calls > 0
    for asked in model.asked:
        found = asked["knowledge"]
        assert 1 <= len(found) <= 4 and sum(len(one["text"]) for one in found) <= 2_000  # pyright: ignore
        assert found[0]["kind"] == "brand_voice" and not found[0]["may_be_said"]  # pyright: ignore[reportIndexIssue]
    with home.ledger() as ledger:
        drafts = [(message, draft) for message, draft in ledger.drafts(states=None) if draft.mode == "assisted"]
        assert drafts and report.knowledge == {"bm25": len(drafts)}
        texts = set()
        for _, draft in drafts:
            listed = json.loads(ledger.artifact(draft.recipe["knowledge"]))
            for one in listed["excerpts"]:
                content = ledger.artifact(one["hash"])
                assert content_hash(content) == one["hash"]
                texts.add(json.loads(content)["text"])
        assert texts == {one["text"] for asked in model.asked for one in asked["knowledge"]}  # pyright: ignore
        assert ledger.verify()["ok"]
    message, _ = drafts[0]
    told = show(home, message.message_id)["story"]["knowledge"]
    assert told["ranked_by"] == "bm25" and told["excerpts"][0]["id"].startswith("voice-")
    (answer,) = explain(home, message.user_id, message.campaign_id, None)["campaigns"]
    assert answer["message"]["knowledge"] == told
    for arguments in (
        ("review", "show", message.message_id),
        ("explain", "--user", message.user_id, "--campaign", message.campaign_id),
    ):
        code, out, _ = call(*arguments)
        assert code == 0
        assert told["excerpts"][0]["id"] in out and told["excerpts"][0]["hash"][:12] in out
    assert plan(home, MORNING + timedelta(hours=1))["calls"] <= planned["calls"] / 2


def test_without_a_budget_for_it_nothing_is_looked_up(make_home: Callable[..., Home], tick: Tick, model: Model) -> None:
    """And no draft names what it didn't see."""
    home = make_home(openai_base_url=model.url, openai_api_key="k", knowledge_excerpts=0)
    report = tick(home, MORNING)

    assert report.error is None and report.knowledge == {}
    assert model.asked and not [asked for asked in model.asked if "knowledge" in asked]


def test_embeddings_are_asked_for_once_counted_and_done_without_when_they_fail(
    make_home: Callable[..., Home], tick: Tick, model: Model
) -> None:
    """Vectors of a failing server: words alone decide, and the report says why. Then of one that answers: kept, and counted as calls."""
    home = make_home(openai_base_url=model.url, openai_api_key="k", embedding_model="e-1")
    model.embeddings_status = 500
    report = tick(home, MORNING)

    assert report.error is None
    assert set(report.knowledge) == {"bm25, without embeddings: server_error"}
    assert len(model.embedded) == 1
    assert report.model["calls"] == model.calls + 1

    model.embeddings_status, before = 200, model.calls
    report = tick(home, MORNING + timedelta(days=1))

    assert set(report.knowledge) == {"bm25, with embeddings of e-1"}
    calls = len(model.embedded) - 1
    assert calls >= 1
    assert report.model["calls"] == model.calls - before + calls
    assert report.model["dollars"] is None, "the price list has no embeddings"
    asked = [text for texts in model.embedded[1:] for text in texts]
    assert len(asked) == len(set(asked)), "no text twice"
    with home.ledger() as ledger:
        assert ledger.verify()["ok"]
    assert plan(home, MORNING + timedelta(days=1))["calls"] == 0, "a plan finds as the run does, by what is kept"
    assert len(model.embedded) == calls + 1
