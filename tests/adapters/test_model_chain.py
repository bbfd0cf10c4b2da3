"""The models against a real server on loopback: each way it can go wrong has a name, and nothing personal is sent."""

from __future__ import annotations

import dataclasses
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project.adapters.model_chain import PATIENCE, Limits, ModelChain, Record, model_names, open_models
from dagster_project.adapters.prompts import load_classes, load_prompts
from dagster_project.adapters.templates import load_phrases
from dagster_project.lifecycle.budget import Budget
from dagster_project.lifecycle.drafting import Batch, Model, draft_all
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Mode, PlannedMessage, content_hash
from dagster_project.lifecycle.roles.call import Answer, Ask, Question, Role
from dagster_project.lifecycle.roles.reviewer import reviewer_question
from dagster_project.lifecycle.roles.writer import WriterRequest, writer_question
from dagster_project.lifecycle.template import SlotSpec
from dagster_project.settings import Settings
from tests.contented import Policy
from tests.http_server import PromptServer
from tests.model_server import PATH, as_json, by_role, completion, objections, read, saying, scores, shown
from tests.shipped import shipped_templates

ROOT = Path(__file__).parents[2]
PROMPTS = ROOT / "templates" / "prompts"
TIMEOUT_SECONDS = 1.0
LIMITS = Limits(Budget(), {}, TIMEOUT_SECONDS, 60.0)


def request(number: int = 1) -> WriterRequest:
    """One pattern with two slots."""
    return WriterRequest(
        campaign_id="winback",
        variant="default",
        campaign_title="Win back",
        locale="en",
        tone="warm",
        template_version="v1",
        slots={
            "opening": SlotSpec(description="Say hello.", max_chars=80, placeholders=("account_name", "weeks_away")),
            "closing": SlotSpec(description="Say goodbye.", max_chars=80, must_include=()),
        },
        facts={"weeks_away": number},
        placeholders=("account_name", "weeks_away"),
    )


ANSWER = {"opening": "Good to see {{account_name}} again.", "closing": "See you soon."}


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A fresh server per test, on a free port of loopback."""
    with PromptServer(host="127.0.0.1", threaded=True) as running:
        yield running


def chain_for(
    base_url: str | None,
    budget: Budget | None = None,
    models: str = "small",
    campaign: Budget | None = None,
    texts_per_call: int = 1,
) -> ModelChain | None:
    return open_models(
        key=SecretStr("k") if base_url else None,
        base_url=base_url,
        names=models.split(","),
        prompts=load_prompts(PROMPTS),
        limits=Limits(
            budget or Budget(), {"winback": campaign} if campaign else {}, TIMEOUT_SECONDS, 60.0, texts_per_call
        ),
        spent={},
    )


class Asking:
    """A chain that remembers nothing, asked as the pipeline asks it: of texts, unless it is told otherwise."""

    def __init__(self, chain: ModelChain | None, record: Record = lambda calls: None) -> None:
        assert chain is not None
        self._ask: Ask = chain.remembering(lambda keys: {}, record)
        self.seconds = 0.0

    def ask(self, questions: Sequence[Question]) -> Sequence[Answer]:
        started = time.perf_counter()
        answers = self._ask(questions)
        self.seconds += time.perf_counter() - started
        return answers

    def write(self, requests: Sequence[WriterRequest]) -> list[Answer]:
        """As if nobody had to read the texts: what a budget sets aside for that is the pipeline's test."""
        return list(self.ask([dataclasses.replace(writer_question(one), followers=0) for one in requests]))


def asking(base_url: str) -> Asking:
    return Asking(chain_for(base_url))


def answering(server: HTTPServer, handler: Callable[[Request], Response]) -> Asking:
    server.expect_request(PATH, method="POST").respond_with_handler(by_role(handler))
    return asking(server.url_for("/v1"))


def recording(server: HTTPServer, handler: Callable[[Request], Response]) -> Asking:
    """As `answering`, for a handler that answers every role itself."""
    server.expect_request(PATH, method="POST").respond_with_handler(handler)
    return asking(server.url_for("/v1"))


def test_a_good_answer_has_its_slots_and_its_cost(server: HTTPServer) -> None:
    """Tokens, model and seconds come along."""
    (result,) = answering(server, as_json(completion(json.dumps(ANSWER)))).write([request()])

    assert (result.content, result.failure) == (ANSWER, None)
    assert (result.model, result.tokens_in, result.tokens_out, result.was_called) == ("small-1", 120, 30, True)
    assert 0 < result.seconds < 5
    assert result.prompt == load_prompts(PROMPTS)["writer"]
    assert result.settings == {"model": "small", "temperature": 0, "seed": 7}


def test_the_call_asks_for_strict_output_without_chance(server: HTTPServer) -> None:
    """Temperature 0, a seed, a schema that admits the slots alone, a cap on the answer, the prompt as it is on disk."""
    answering(server, as_json(completion(json.dumps(ANSWER)))).write([request()])
    sent = server.log[0][0].get_json()
    schema = sent["response_format"]["json_schema"]

    assert (sent["model"], sent["temperature"], sent["seed"], sent["max_completion_tokens"]) == ("small", 0, 7, 144)
    assert schema["strict"] is True
    assert schema["schema"]["required"] == ["opening", "closing"]
    assert schema["schema"]["additionalProperties"] is False
    assert sent["messages"][0] == {"role": "system", "content": load_prompts(PROMPTS)["writer"].decode()}
    assert json.loads(sent["messages"][1]["content"]) == {
        "campaign": "Win back",
        "tone": "warm",
        "locale": "en",
        "facts": {"weeks_away": "1"},
        "ranges": {},
        "placeholders": ["{{account_name}}", "{{weeks_away}}"],
        "slots": {
            "opening": {
                "description": "Say hello.",
                "max_chars": 80,
                "may_use": ["{{account_name}}", "{{weeks_away}}"],
                "must_use": [],
            },
            "closing": {"description": "Say goodbye.", "max_chars": 80, "may_use": [], "must_use": []},
        },
    }


def test_words_of_users_are_quoted_beside_the_facts(server: HTTPServer) -> None:
    """Under a key of their own; without any there is none."""
    quoting = dataclasses.replace(request(), quoted={"ticket": "[name] cannot sign in"})
    answering(server, as_json(completion(json.dumps(ANSWER)))).write([quoting])
    asked = json.loads(server.log[0][0].get_json()["messages"][1]["content"])

    assert asked["quoted"] == {"ticket": "[name] cannot sign in"}
    assert asked["facts"] == {"weeks_away": "1"}


def slow(_: Request) -> Response:
    time.sleep(TIMEOUT_SECONDS * 3)
    return Response("{}", content_type="application/json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (as_json(completion(None, refusal="I would rather not.")), "refused"),
        (as_json(completion(None, finish="content_filter")), "refused"),
        (as_json({"error": {"message": "no"}}, 400), "refused"),
        (as_json({"error": {"message": "no"}}, 401), "refused"),
        (as_json({"error": {"message": "no"}}, 404), "refused"),
        (as_json({"error": {"message": "later"}}, 429), "rate_limited"),
        (as_json({"error": {"message": "oops"}}, 500), "server_error"),
        (as_json({"error": {"message": "oops"}}, 503), "server_error"),
        (lambda _: Response("<h1>Bad gateway</h1>", status=502, content_type="text/html"), "server_error"),
        (slow, "timeout"),
        (as_json(completion('{"opening": "Good')), "malformed"),
        (as_json(completion("Sure! Here you go.")), "malformed"),
        (as_json(completion(json.dumps({"opening": "Only one."}))), "malformed"),
        (as_json(completion(json.dumps({**ANSWER, "extra": "x"}))), "malformed"),
        (as_json(completion(json.dumps({**ANSWER, "closing": 3}))), "malformed"),
        (as_json(completion(json.dumps([ANSWER]))), "malformed"),
        (as_json(completion(None)), "malformed"),
        (as_json(completion("")), "malformed"),
        (as_json({}), "malformed"),
        (as_json([]), "malformed"),
        (as_json({**completion(json.dumps(ANSWER)), "choices": []}), "malformed"),
        (as_json({**completion(json.dumps(ANSWER)), "choices": [{}]}), "malformed"),
        (as_json({**completion(json.dumps(ANSWER)), "choices": None}), "malformed"),
        (as_json({**completion(json.dumps(ANSWER)), "choices": "many"}), "malformed"),
        (lambda _: Response("not json", content_type="application/json"), "malformed"),
        (lambda _: Response("<h1>Hello</h1>", content_type="text/html"), "malformed"),
        (lambda _: Response(b"\xff\xfe", content_type="application/json"), "malformed"),
        (lambda _: Response("", content_type="application/json"), "malformed"),
        (as_json(completion('{"opening": "Go', finish="length")), "over_length"),
    ],
)
def test_every_failure_has_its_name(server: HTTPServer, handler: Callable[[Request], Response], failure: str) -> None:
    """One call, no retry, no exception."""
    (result,) = answering(server, handler).write([request()])

    assert (result.content, result.failure, result.was_called) == (None, failure, True)
    assert len(server.log) == (0 if failure == "timeout" else 1)  # the server logs when it has answered


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, on the odd blocks
@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "many"}, {"prompt_tokens": -1}, "free"])
def test_a_server_may_keep_its_costs_to_itself(server: HTTPServer, usage: object) -> None:
    """An odd usage block does not spoil a good answer."""
    (result,) = answering(server, as_json({**completion(json.dumps(ANSWER)), "usage": usage})).write([request()])

    assert (result.content, result.tokens_in, result.tokens_out) == (ANSWER, None, None)


def test_nobody_at_the_address_is_a_server_error() -> None:
    """Connection refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    (result,) = asking(f"http://127.0.0.1:{port}/v1").write([request()])

    assert result.failure == "server_error"


@pytest.mark.parametrize(
    "said", [b"", b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"id": "c1', b"\x00\x01garbage\r\n\r\n"]
)
def test_a_connection_that_breaks_off_is_a_server_error(said: bytes) -> None:
    """Before, in the middle of, or instead of an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        (result,) = asking(f"http://127.0.0.1:{listener.getsockname()[1]}/v1").write([request()])
        thread.join()

    assert result.failure == "server_error"


def test_a_server_that_drips_cannot_hold_the_run() -> None:
    """Each blank comes within the timeout of a read, the answer never: the run gives the server up for good."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
                while not stop.wait(TIMEOUT_SECONDS / 5):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        writer = asking(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        results = writer.write([request()]) + writer.write([request()])
        stop.set()
        thread.join()

    assert [(result.failure, result.was_called) for result in results] == [("timeout", True), ("timeout", False)]
    assert writer.seconds < TIMEOUT_SECONDS * 4


def test_after_three_failures_in_a_row_nobody_is_asked_again(server: HTTPServer) -> None:
    """The rest of the run carries the reason, and a later call of the same writer too."""
    writer = answering(server, as_json({"error": {"message": "later"}}, 429))

    results = writer.write([request(number) for number in range(10)])
    again = writer.write([request()])

    assert [result.failure for result in (*results, *again)] == ["rate_limited"] * 11
    assert [result.was_called for result in results] == [True] * 3 + [False] * 7
    assert len(server.log) == 3


def test_a_success_in_between_closes_the_count(server: HTTPServer) -> None:
    """Two failures, a good answer, two failures: all are asked."""

    def by_number(received: Request) -> Response:
        number = json.loads(received.get_json()["messages"][1]["content"])["facts"]["weeks_away"]
        good = as_json(completion(json.dumps(ANSWER)))
        return good(received) if number == "2" else as_json({"error": {}}, 500)(received)

    results = answering(server, by_number).write([request(number) for number in range(5)])

    assert [result.failure for result in results] == [
        "server_error",
        "server_error",
        None,
        "server_error",
        "server_error",
    ]
    assert all(result.was_called for result in results)


def test_answers_come_in_the_order_of_the_requests(server: HTTPServer) -> None:
    """However long each takes; and no more than three are asked at a time."""
    together, most = 0, 0
    lock = threading.Lock()

    def echo(received: Request) -> Response:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        number = json.loads(received.get_json()["messages"][1]["content"])["facts"]["weeks_away"]
        time.sleep(0.05 if int(number) % 2 else 0.01)
        with lock:
            together -= 1
        return as_json(completion(json.dumps({"opening": f"Week {number}.", "closing": "x"})))(received)

    results = answering(server, echo).write([request(number) for number in range(12)])

    assert [(result.content or {})["opening"] for result in results] == [f"Week {number}." for number in range(12)]
    assert 1 < most <= 3


def test_without_key_and_address_nothing_is_constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the client's library is loaded, whatever the environment says."""
    monkeypatch.setenv("OPENAI_API_KEY", "from outside")
    monkeypatch.setitem(sys.modules, "openai", None)  # an import would raise

    for key in (None, SecretStr("")):
        assert open_models(key=key, base_url=None, names=["m"], prompts={}, limits=LIMITS, spent={}) is None


def test_an_address_from_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings say is what is called."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")

    chain = open_models(key=SecretStr("k"), base_url=None, names=["m"], prompts={}, limits=LIMITS, spent={})

    assert chain is not None
    assert str(chain._models[0]._client.base_url) == "https://api.openai.com/v1/"


def test_a_missing_prompt_is_named(tmp_path: Path) -> None:
    """One line."""
    with pytest.raises(InputError, match=r"templates/prompts/writer\.md: found no such file"):
        load_prompts(tmp_path)


FIRST, COMPANY, ADDRESS = "Anastasija-Zyx", "Quuxbury Holdings", "anastasija.zyx@mail.example"


WORDS = {"opening": "Everything in {{account_name}} is as you left it.", "invitation": "Open one report."}

LETTER = {
    "subject": "Your reports at {{account_name}}",
    "preheader": "Everything is where you left it.",
    "paragraph_1": "It has been {{weeks_away}} weeks, and nothing is lost.",
    "paragraph_2": "Open one report and see where things stand.",
    "paragraph_3": "",
    "cta_id": "main",
}


def test_a_letter_is_written_by_the_model_and_linked_by_the_template(server: HTTPServer) -> None:
    """Subject, preheader, paragraphs and which button; the address behind it, greeting and footer are the template's."""
    batch = draft_winbacks(answering(server, as_json(completion(json.dumps(LETTER)))), mode="autonomous")
    schema = server.log[0][0].get_json()["response_format"]["json_schema"]["schema"]
    asked = json.loads(server.log[0][0].get_json()["messages"][1]["content"])
    made = batch.drafts[0]

    assert len(server.log) == 3, "writer, reviewer, policy enforcer"
    assert schema["properties"]["cta_id"]["const"] == "main"
    assert asked["ctas"] == {"main": "Open your workspace"}
    assert asked["brief"].startswith("Say how long")
    assert (made.mode, made.mode_asked, made.fallback_reason) == ("autonomous", "autonomous", None)
    assert made.subject == f"Your reports at {COMPANY}"
    assert f"Hi {FIRST},\n\nIt has been 4 weeks, and nothing is lost.\n\nOpen one report" in made.text
    assert "Open your workspace:\nhttps://app.ledgerline.example/home\n" in made.text
    assert made.html.count("<p") == made.html.replace("<p></p>", "").count("<p"), "no empty paragraph"
    assert made.unsubscribe_url in made.text
    assert made.recipe["template"] in batch.artifacts
    assert all(content_hash(content) == digest for digest, content in batch.artifacts.items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cta_id": "elsewhere"}, "malformed"),
        ({"paragraph_1": ""}, "guard:empty"),
        ({"subject": "You have won 20% off"}, "guard:number"),
        ({"paragraph_3": "See https://evil.example for more."}, "guard:link"),
        ({"subject": "x" * 61}, "over_length"),
        ({"preheader": "<b>Hello</b>"}, "guard:markup"),
    ],
)
def test_a_letter_that_a_guard_refuses_gives_way_to_the_template(
    server: HTTPServer, change: dict[str, str], reason: str
) -> None:
    """Whole: no part of it goes out."""
    batch = draft_winbacks(answering(server, as_json(completion(json.dumps(LETTER | change)))), mode="autonomous")

    assert {(made.mode, made.fallback_reason) for made in batch.drafts} == {("template", reason)}
    assert [made.draft_hash for made in batch.drafts] == [made.draft_hash for made in draft_winbacks(None).drafts]


def draft_winbacks(asked: Asking | None, mode: Mode = "assisted", review: str = "none") -> Batch:
    """Forty people whose weeks lie in one range, drafted with the shipped template."""
    library = shipped_templates()
    messages = [
        PlannedMessage(
            message_id=f"message-{number}",
            campaign_id="winback",
            user_id=f"user-{number}",
            account_id="account-77",
            occurrence_key="2026-01-01",
            decision_id="decision-1",
            policy_hash="p",
            message_type="product_news",
            channel="email",
            variant="default",
            locale="en",
            email=ADDRESS,
            facts={"first_name": FIRST, "account_name": COMPANY, "weeks_away": 4 + number % 2},
            send_after=None,
            send_before=None,
        )
        for number in range(40)
    ]
    return draft_all(
        messages,
        policies={"winback": Policy("Come back", mode, review=review)},
        template_of=library.get,
        sender_name="Ledgerline",
        postal_address="Street 1",
        unsubscribe_url=lambda message: f"https://mail.ledgerline.example/u/{message.user_id}",
        phrases=load_phrases(ROOT / "templates"),
        model=Model(asked.ask, load_classes(PROMPTS)) if asked else None,
    )


def test_no_personal_value_is_in_any_byte_sent(server: HTTPServer) -> None:
    """Recorded at the socket's other end: headers, address line and bodies of all calls."""
    received: list[bytes] = []

    def record(asked: Request) -> Response:
        received.append(f"{asked.url} {asked.headers}".encode() + asked.get_data())
        words = {"opening": "Everything in {{account_name}} is as you left it.", "invitation": "Open one report."}
        return by_role(saying(words))(asked)

    batch = draft_winbacks(recording(server, record))
    sent = b" ".join(received)

    assert len(received) == 3, "4 and 5 weeks are one range, which three roles look at"
    for value in (FIRST, COMPANY, ADDRESS, "Zyx", "Quuxbury", "user-", "message-", "account-77", "/u/"):
        assert value.encode() not in sent
    assert b"{{account_name}}" in sent
    assert b"at least 4, below 8" in sent
    assert {made.mode for made in batch.drafts} == {"assisted"}
    assert all(f"Everything in {COMPANY} is as you left it." in made.text for made in batch.drafts)
    assert batch.drafts[0].recipe["prompt"] == content_hash(load_prompts(PROMPTS)["writer"])


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (as_json(completion(None, refusal="No.")), "refused"),
        (as_json({"error": {}}, 429), "rate_limited"),
        (as_json({"error": {}}, 500), "server_error"),
        (as_json(completion("{")), "malformed"),
        (as_json(completion(json.dumps({"opening": "x" * 261, "invitation": "y"}))), "over_length"),
        (as_json(completion(json.dumps({"opening": "See www.evil.example", "invitation": "y"}))), "guard:link"),
        (as_json(completion(json.dumps({"opening": "Only 3 days left", "invitation": "y"}))), "guard:number"),
    ],
)
def test_whatever_fails_the_deterministic_mail_goes_out(
    server: HTTPServer, handler: Callable[[Request], Response], reason: str
) -> None:
    """Word for word, with the reason on each draft."""
    batch = draft_winbacks(answering(server, handler))

    assert {(made.mode, made.fallback_reason) for made in batch.drafts} == {("template", reason)}
    assert [made.draft_hash for made in batch.drafts] == [made.draft_hash for made in draft_winbacks(None).drafts]


def counting(server: HTTPServer, budget: Budget, models: str = "small", campaign: Budget | None = None) -> ModelChain:
    server.expect_request(PATH, method="POST").respond_with_handler(by_role(saying(ANSWER)))
    chain = chain_for(server.url_for("/v1"), budget, models, campaign)
    assert chain is not None
    return chain


def wrote(chain: ModelChain, number: int, record: Record = lambda calls: None) -> list[Answer]:
    return Asking(chain, record).write([request(one) for one in range(number)])


@pytest.mark.parametrize("calls", [0, 1, 4, 5, 100])
def test_a_budget_of_calls_is_never_overrun_and_everybody_has_an_answer(server: HTTPServer, calls: int) -> None:
    """Twenty patterns: so many calls as there may be, and a reason for each of the others."""
    results = wrote(counting(server, Budget(calls=calls)), 20)
    made = min(20, calls)

    assert len(server.log) == made
    assert [result.failure for result in results] == [None] * made + ["over_budget"] * (20 - made)
    assert not any(result.was_called for result in results[made:])


def test_a_campaign_has_a_budget_of_its_own(server: HTTPServer) -> None:
    """Whatever the run may spend besides; another campaign isn't touched by it."""
    chain = counting(server, Budget(calls=30), campaign=Budget(calls=4))
    mine = [dataclasses.replace(writer_question(request(number)), followers=0) for number in range(8)]
    others = [dataclasses.replace(one, campaign_id="welcome") for one in mine]
    results = chain.remembering(lambda keys: {}, lambda calls: None)([*mine, *others])

    assert [result.was_called for result in results] == [True] * 4 + [False] * 4 + [True] * 8
    assert {result.failure for result in results[4:8]} == {"over_budget"}


def test_a_budget_of_tokens_holds_though_nobody_knows_before_what_a_call_takes(server: HTTPServer) -> None:
    """Each answer costs 150 tokens; before a call the most that it could take is set aside."""
    results = wrote(counting(server, Budget(tokens=8_000)), 90)
    spent = sum(result.cost.tokens for result in results)

    assert 0 < spent == 150 * len(server.log) <= 8_000
    assert results[-1].failure == "over_budget"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("fails", ["usage", "timeout", "500"])
def test_what_nobody_tells_counts_as_the_most_that_it_can_have_been(server: HTTPServer, fails: str) -> None:
    """A server that keeps its counts to itself, or answers too late, has billed them all the same."""
    silent = {**completion(json.dumps(ANSWER)), "usage": None}
    handler = {"usage": as_json(silent), "timeout": slow, "500": as_json({"error": {}}, 500)}[fails]
    server.expect_request(PATH, method="POST").respond_with_handler(handler)
    asked = Asking(chain_for(server.url_for("/v1"), Budget(tokens=15_000)))
    results = asked.write([request(number) for number in range(40)])
    made = [result for result in results if result.was_called]

    assert {(result.tokens_in, result.tokens_out) for result in made} == {(None, None)}
    assert all(result.cost.tokens > len(result.prompt) for result in made), "no token is shorter than a byte"
    assert sum(result.cost.tokens for result in made) <= 15_000
    assert made


def test_a_budget_in_dollars_goes_by_the_price_list(server: HTTPServer) -> None:
    """120 tokens in and 30 out of gpt-4o-mini: 0.000036 dollars, at 0.15 and 0.60 per million."""
    results = wrote(counting(server, Budget(dollars=Decimal("0.005")), "gpt-4o-mini"), 150)
    made = [result for result in results if result.was_called]

    assert {result.cost.dollars for result in made} == {Decimal("0.000036")}
    assert 0 < len(made) == len(server.log) < 150


def test_a_budget_in_dollars_needs_a_price(server: HTTPServer) -> None:
    """Of every model that may be asked; or it would never stop, or never begin."""
    with pytest.raises(InputError, match="POSTRIDER_MODEL_DOLLARS_PER_RUN: nobody knows the price of small"):
        counting(server, Budget(dollars=Decimal(1)), "gpt-4o-mini,small")
    with pytest.raises(InputError, match=r"winback: model_budget\.dollars: nobody knows the price of small"):
        counting(server, Budget(), campaign=Budget(dollars=Decimal(1)))


def test_what_was_answered_once_is_not_asked_again(server: HTTPServer) -> None:
    """In the next run, with the same prompt and model; a new pattern, and whatever failed, is asked."""
    known: dict[str, Answer] = {}
    recorded: list[tuple[str, Question, Answer]] = []

    def record(calls: Sequence[tuple[str, Question, Answer]]) -> None:
        recorded.extend(calls)
        known.update({key: Answer(content=result.content) for key, _, result in calls if result.content})

    def find(keys: Sequence[str]) -> dict[str, Answer]:
        return {key: known[key] for key in keys if key in known}

    ask = counting(server, Budget()).remembering(find, record)
    one, two, three = (writer_question(request(number)) for number in (1, 2, 3))
    first, second = ask([one, two]), ask([two, three, one, three])

    assert len(server.log) == len(recorded) == 3
    assert [result.content for result in (*first, *second)] == [ANSWER] * 6
    assert [result.was_called for result in second] == [False, True, False, True]
    assert {result.prompt for result in second} == {load_prompts(PROMPTS)["writer"]}, "the recipe names it all the same"
    assert len({key for key, _, _ in recorded}) == 3


def test_a_call_is_on_record_before_the_next_wave_goes_out(server: HTTPServer) -> None:
    """A run that dies then has lost the answers of one wave at most; what wasn't called isn't recorded."""
    recorded: list[object] = []
    answered: list[tuple[int, int]] = []
    lock = threading.Lock()

    def answer(asked: Request) -> Response:
        with lock:
            answered.append((len(answered), len(recorded)))
        return saying(ANSWER)(asked)

    server.expect_request(PATH, method="POST").respond_with_handler(answer)
    Asking(chain_for(server.url_for("/v1"), Budget(calls=10)), recorded.extend).write([request(n) for n in range(20)])

    assert [before for _, before in answered] == [number // 3 * 3 for number in range(10)]
    assert len(recorded) == 10


def by_model(**handlers: Callable[[Request], Response]) -> Callable[[Request], Response]:
    return lambda received: handlers[received.get_json()["model"]](received)


FAILING: dict[str, Callable[[Request], Response]] = {
    "timeout": slow,
    "rate_limited": as_json({"error": {}}, 429),
    "server_error": as_json({"error": {}}, 500),
    "refused": as_json(completion(None, refusal="No.")),
    "malformed": as_json(completion("{")),
}


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILING)
def test_where_a_model_fails_the_next_one_is_asked(server: HTTPServer, failure: str) -> None:
    """Each of the five patterns has its answer; the first model is given up after three failures, and asked no more."""
    server.expect_request(PATH, method="POST").respond_with_handler(
        by_model(a=FAILING[failure], b=as_json({"error": {}}, 500), c=saying(ANSWER))
    )
    recorded: list[tuple[str, Question, Answer]] = []
    results = Asking(chain_for(server.url_for("/v1"), models="a,b,c"), recorded.extend).write(
        [request(number) for number in range(5)]
    )

    assert [(result.failure, result.settings["model"]) for result in results] == [(None, "c")] * 5
    assert [answer.settings["model"] for _, _, answer in recorded] == ["a"] * 3 + ["b"] * 3 + ["c"] * 5
    assert [answer.failure for _, _, answer in recorded[:3]] == [failure] * 3


def test_a_failure_of_all_models_has_the_last_ones_name(server: HTTPServer) -> None:
    """And a budget counts every try."""
    server.expect_request(PATH, method="POST").respond_with_handler(
        by_model(a=FAILING["rate_limited"], b=FAILING["refused"])
    )
    results = Asking(chain_for(server.url_for("/v1"), Budget(calls=4), "a,b")).write([request(n) for n in range(2)])

    assert [result.failure for result in results] == ["refused"] * 2
    assert len(server.log) == 4


@pytest.mark.parametrize("models", ["", "a,,b", "a,a"])
def test_a_list_of_models_names_each_once(models: str) -> None:
    with pytest.raises(InputError, match="POSTRIDER_MODEL: found"):
        model_names(models)


@pytest.mark.parametrize(("told", "calls"), [("0.1", 6), ("60", 3), ("soon", 3), ("nan", 3), ("-1", 3), ("inf", 3)])
def test_a_server_that_says_when_to_come_again_is_asked_then_if_that_is_soon(
    server: HTTPServer, told: str, calls: int
) -> None:
    """Once, and never past the patience of a run."""
    begun: list[float] = []

    def busy(asked: Request) -> Response:
        begun.append(time.perf_counter())
        if len(begun) > 3:
            return saying(ANSWER)(asked)
        return as_json({"error": {}}, 429, {"Retry-After": told})(asked)

    results = answering(server, busy).write([request(number) for number in range(3)])

    assert len(begun) == calls
    assert [result.failure for result in results] == [None if calls == 6 else "rate_limited"] * 3
    assert calls == 3 or begun[3] - begun[0] >= 0.1


def test_a_server_that_always_says_later_is_asked_twice(server: HTTPServer) -> None:
    """Then it is given up."""
    later = as_json({"error": {}}, 429, {"Retry-After": "0.01"})
    results = answering(server, later).write([request(number) for number in range(9)])

    assert len(server.log) == 6
    assert {result.failure for result in results} == {"rate_limited"}


def test_a_slow_server_is_asked_no_longer_than_a_run_may_last(server: HTTPServer) -> None:
    """It answers each time, and still everybody is told in time."""

    def slowly(asked: Request) -> Response:
        time.sleep(0.2)
        return saying(ANSWER)(asked)

    server.expect_request(PATH, method="POST").respond_with_handler(slowly)
    chain = open_models(
        key=SecretStr("k"),
        base_url=server.url_for("/v1"),
        names=["small"],
        prompts=load_prompts(PROMPTS),
        limits=dataclasses.replace(LIMITS, run_seconds=0.5),
        spent={},
    )
    started = time.perf_counter()
    results = Asking(chain).write([request(number) for number in range(60)])

    assert time.perf_counter() - started < 3
    assert results[0].failure is None
    assert results[-1].failure in ("out_of_time", "timeout"), "the last call may be cut short"


def reviewed(numbers: Sequence[int], quoted: Mapping[str, str] | None = None) -> list[Question]:
    """Questions to the reviewer about one text each; the number is a fact."""
    asked = (dataclasses.replace(request(number), quoted=quoted or {}) for number in numbers)
    return [reviewer_question(one, ANSWER) for one in asked]


def by_weeks(said: dict) -> dict:
    """A reviewer whose score of clarity is the number of weeks."""
    return scores(clarity=int(said["facts"]["weeks_away"]))


def clarity(answer: Answer) -> int:
    assert answer.content is not None, answer.failure
    return answer.content["clarity"]["score"]


def test_readers_are_given_several_texts_at_once_and_each_has_its_own_scores(server: HTTPServer) -> None:
    """Five texts in two calls, every call paid for once; one with words of users goes alone."""
    server.expect_request(PATH, method="POST").respond_with_handler(read(by_weeks))
    recorded: list[tuple[str, Question, Answer]] = []
    asked = Asking(chain_for(server.url_for("/v1"), texts_per_call=3), recorded.extend)
    told = asked.ask(reviewed([5, 4, 3, 2, 1]))

    assert [clarity(one) for one in told] == [5, 4, 3, 2, 1]
    assert [len(shown(one)) for one, _ in server.log] in ([3, 2], [2, 3])
    assert len(recorded) == 5
    assert sum(answer.cost.calls for _, _, answer in recorded) == 2
    assert sum(answer.tokens_out or 0 for _, _, answer in recorded) == 2 * 30
    server.clear_log()
    told = asked.ask(reviewed([3, 1], {"ticket": "cannot sign in"}))
    assert [clarity(one) for one in told] == [3, 1]
    assert [len(shown(one)) for one, _ in server.log] == [1, 1]


SHARED_BROKEN: dict[str, Callable[[Request], Response]] = {
    "malformed": saying({"text_1": scores()}),
    "over_length": as_json(completion('{"text_1"', finish="length")),
    "refused": as_json(completion(None, refusal="No.")),
}


@pytest.mark.parametrize("failure", SHARED_BROKEN)
def test_where_a_model_cannot_read_several_it_is_given_each_alone(server: HTTPServer, failure: str) -> None:
    """However many such calls fail: they don't count against it, for each text is asked about again. Every call is on record."""

    def handle(received: Request) -> Response:
        return SHARED_BROKEN[failure](received) if len(shown(received)) > 1 else read(by_weeks)(received)

    server.expect_request(PATH, method="POST").respond_with_handler(handle)
    recorded: list[tuple[str, Question, Answer]] = []
    numbers = [1, 2, 3, 4, 5] * 2 + [1, 2]
    variants = [dataclasses.replace(one, scope=(str(place // 3),)) for place, one in enumerate(reviewed(numbers))]
    told = Asking(chain_for(server.url_for("/v1"), texts_per_call=3), recorded.extend).ask(variants)

    assert [clarity(one) for one in told] == numbers
    assert len(server.log) == sum(answer.cost.calls for _, _, answer in recorded) == 4 + 12
    assert Counter(answer.failure for _, _, answer in recorded) == {failure: 12, None: 12}


def test_a_shared_call_that_takes_too_long_is_made_for_each_alone(server: HTTPServer) -> None:
    """The time is lost, the scores are not."""

    def handle(received: Request) -> Response:
        return slow(received) if len(shown(received)) > 1 else read(by_weeks)(received)

    server.expect_request(PATH, method="POST").respond_with_handler(handle)
    told = Asking(chain_for(server.url_for("/v1"), texts_per_call=3)).ask(reviewed([3, 2]))

    assert [clarity(one) for one in told] == [3, 2]


def test_a_shared_call_over_the_budget_gives_way_to_the_calls_that_fit(server: HTTPServer) -> None:
    """A call about one text may take 4,171 tokens, about three 5,914: with 4,500 the first is read."""
    server.expect_request(PATH, method="POST").respond_with_handler(read(by_weeks))
    chain = chain_for(server.url_for("/v1"), Budget(tokens=4_500), texts_per_call=3)
    told = Asking(chain).ask(reviewed([3, 2, 1]))

    assert [one.failure for one in told] == [None, "over_budget", "over_budget"]
    assert [len(shown(one)) for one, _ in server.log] == [1]


@pytest.mark.slow
def test_a_dead_server_is_not_asked_again_about_each_text(server: HTTPServer) -> None:
    """Three failures, whatever they were about."""
    server.expect_request(PATH, method="POST").respond_with_handler(as_json({"error": {}}, 500))
    told = Asking(chain_for(server.url_for("/v1"), texts_per_call=3)).ask(reviewed(list(range(12))))

    assert {one.failure for one in told} == {"server_error"}
    assert len(server.log) == 3


def test_readers_find_their_money_still_there(server: HTTPServer) -> None:
    """However many texts are written before the first is read: none is left unread for want of calls, whatever the limit."""

    def handle(received: Request) -> Response:
        return by_role(saying(ANSWER))(received)

    server.expect_request(PATH, method="POST").respond_with_handler(handle)
    for limit in (0, 2, 3, 7, 20):
        server.clear_log()
        asked = Asking(chain_for(server.url_for("/v1"), Budget(calls=limit)))
        texts = asked.ask([writer_question(request(number)) for number in range(9)])
        written = [number for number, one in enumerate(texts) if one.failure is None]
        read_by_all = asked.ask([*reviewed(written), *reviewed([number + 100 for number in written])])

        assert len(written) == limit // 3
        assert {one.failure for one in read_by_all} <= {None}
        assert len(server.log) == 3 * len(written)


ROLES: tuple[Role, ...] = ("writer", "reviewer", "policy")
BROKEN: dict[str, Callable[[Request], Response]] = FAILING | {
    "over_length": as_json(completion('{"a', finish="length")),
    "half a JSON": as_json(completion('{"opening": "It')),
    "another form": saying({"verdict": "fine"}),
    "nothing": as_json({}),
    "a page": lambda _: Response("<h1>Hello</h1>", content_type="text/html"),
    "a truncated body": lambda _: Response(b'{"id": "c1', content_type="application/json"),
}


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", BROKEN)
def test_whichever_role_fails_however_the_templates_words_go_out(server: HTTPServer, role: Role, kind: str) -> None:
    """Everybody is drafted, each with the reason; a text that wasn't read by all goes to nobody."""
    good: dict[str, Callable[[Request], Response]] = {
        "writer": saying(WORDS),
        "reviewer": saying(scores()),
        "policy": saying(objections()),
    }
    server.expect_request(PATH, method="POST").respond_with_handler(by_role(**(good | {role: BROKEN[kind]})))
    batch = draft_winbacks(asking(server.url_for("/v1")))
    reason = kind if kind in FAILING or kind == "over_length" else "malformed"

    assert {made.mode for made in batch.drafts} == {"template"}
    assert {made.fallback_reason for made in batch.drafts} == {reason if role == "writer" else f"{role}:{reason}"}
    assert [made.draft_hash for made in batch.drafts] == [made.draft_hash for made in draft_winbacks(None).drafts]
    assert len(batch.answers) == (1 if role == "writer" else 3)


def test_a_text_in_another_language_is_not_read_by_anybody(server: HTTPServer) -> None:
    """The guards see it first; asked once more, the writer says the same."""
    french = dict.fromkeys(WORDS, "Tout est resté à sa place, et rien ne manque depuis votre visite.")
    batch = draft_winbacks(answering(server, saying(french)))

    assert {made.fallback_reason for made in batch.drafts} == {"guard:language"}
    assert len(server.log) == 2


def test_a_server_that_drips_to_the_readers_cannot_hold_the_run_either() -> None:
    """The writer's answer comes at once, then every call gets a blank at a time."""
    stop = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(TIMEOUT_SECONDS)
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
            if b'"Slots"' in received:
                body = json.dumps(completion(json.dumps(WORDS))).encode()
                connection.sendall(head + str(len(body)).encode() + b"\r\n\r\n" + body)
                return
            connection.sendall(head + b"5000\r\n\r\n")
            while not stop.wait(TIMEOUT_SECONDS / 5):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            for _ in range(3):
                threading.Thread(target=serve, args=(listener.accept()[0],)).start()

        thread = threading.Thread(target=accept)
        thread.start()
        asked = asking(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        batch = draft_winbacks(asked)
        stop.set()
        thread.join()

    assert {made.fallback_reason for made in batch.drafts} == {"reviewer:timeout"}
    assert asked.seconds < TIMEOUT_SECONDS * 4


def test_a_dead_server_costs_less_than_fifteen_seconds_by_default() -> None:
    """However its calls fail: what may be lost to them is counted over the run."""
    assert PATIENCE * Settings.model_fields["model_timeout_seconds"].default <= 15
