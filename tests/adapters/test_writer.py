"""The writer against a real server on loopback: each way it can go wrong has a name, and nothing personal is sent."""

from __future__ import annotations

import dataclasses
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project.adapters.templates import load_phrases, load_templates
from dagster_project.adapters.writer import Writer, load_prompt, open_writer
from dagster_project.lifecycle.budget import Budget
from dagster_project.lifecycle.campaign import Locales
from dagster_project.lifecycle.drafting import Batch, WriterRequest, WriterResult, draft_all
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Mode, PlannedMessage, content_hash
from dagster_project.lifecycle.template import SlotSpec

ROOT = Path(__file__).parents[2]
PROMPTS = ROOT / "templates" / "prompts"
PATH = "/v1/chat/completions"
TIMEOUT_SECONDS = 0.5


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


def completion(content: str | None, *, finish: str = "stop", **message: object) -> dict[str, object]:
    """The body of a chat completion, as the protocol has it."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "small-1",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
    }


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A fresh server per test, on a free port of loopback."""
    with HTTPServer(host="127.0.0.1", threaded=True) as running:
        yield running


def writer_for(base_url: str) -> Writer:
    writer = open_writer(
        key=SecretStr("k"), base_url=base_url, model="small", timeout_seconds=TIMEOUT_SECONDS, prompts=PROMPTS
    )
    assert writer is not None
    return writer


def answering(server: HTTPServer, handler: Callable[[Request], Response]) -> Writer:
    server.expect_request(PATH, method="POST").respond_with_handler(handler)
    return writer_for(server.url_for("/v1"))


def as_json(body: object, status: int = 200) -> Callable[[Request], Response]:
    return lambda _: Response(json.dumps(body), status=status, content_type="application/json")


def test_a_good_answer_has_its_slots_and_its_cost(server: HTTPServer) -> None:
    """Tokens, model and seconds come along."""
    (result,) = answering(server, as_json(completion(json.dumps(ANSWER)))).write([request()])

    assert (result.slots, result.failure) == (ANSWER, None)
    assert (result.model, result.tokens_in, result.tokens_out, result.was_called) == ("small-1", 120, 30, True)
    assert 0 < result.seconds < 5
    assert result.prompt == load_prompt(PROMPTS)
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
    assert sent["messages"][0] == {"role": "system", "content": load_prompt(PROMPTS).decode()}
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

    assert (result.slots, result.failure, result.was_called) == (None, failure, True)
    assert len(server.log) == (0 if failure == "timeout" else 1)  # the server logs when it has answered


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, on the odd blocks
@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "many"}, {"prompt_tokens": -1}, "free"])
def test_a_server_may_keep_its_costs_to_itself(server: HTTPServer, usage: object) -> None:
    """An odd usage block does not spoil a good answer."""
    (result,) = answering(server, as_json({**completion(json.dumps(ANSWER)), "usage": usage})).write([request()])

    assert (result.slots, result.tokens_in, result.tokens_out) == (ANSWER, 0, 0)


def test_nobody_at_the_address_is_a_server_error() -> None:
    """Connection refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    (result,) = writer_for(f"http://127.0.0.1:{port}/v1").write([request()])

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
        (result,) = writer_for(f"http://127.0.0.1:{listener.getsockname()[1]}/v1").write([request()])
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
        started = time.perf_counter()
        writer = writer_for(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        results = writer.write([request()]) + writer.write([request()])
        seconds = time.perf_counter() - started
        stop.set()
        thread.join()

    assert [(result.failure, result.was_called) for result in results] == [("timeout", True), ("timeout", False)]
    assert seconds < TIMEOUT_SECONDS * 4


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

    assert [(result.slots or {})["opening"] for result in results] == [f"Week {number}." for number in range(12)]
    assert 1 < most <= 3


def test_without_key_and_address_nothing_is_constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the client's library is loaded, whatever the environment says."""
    monkeypatch.setenv("OPENAI_API_KEY", "from outside")
    monkeypatch.setitem(sys.modules, "openai", None)  # an import would raise

    assert open_writer(key=None, base_url=None, model="m", timeout_seconds=1, prompts=PROMPTS) is None
    assert open_writer(key=SecretStr(""), base_url="", model="m", timeout_seconds=1, prompts=PROMPTS) is None


def test_an_address_from_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings say is what is called."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")

    writer = open_writer(key=SecretStr("k"), base_url=None, model="m", timeout_seconds=1, prompts=PROMPTS)

    assert writer is not None
    assert str(writer._client.base_url) == "https://api.openai.com/v1/"


def test_a_missing_prompt_is_named(tmp_path: Path) -> None:
    """One line."""
    with pytest.raises(InputError, match=r"templates/prompts/writer\.md: found no such file"):
        load_prompt(tmp_path)


@dataclasses.dataclass(frozen=True)
class Policy:
    """The part of a policy that drafting reads."""

    title: str = "Come back"
    mode: Mode = "assisted"
    legal_basis: str = "consent"
    locales: Locales = dataclasses.field(default_factory=lambda: Locales(fallback="en"))


FIRST, COMPANY, ADDRESS = "Anastasija-Zyx", "Quuxbury Holdings", "anastasija.zyx@mail.example"


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
    batch = draft_winbacks(answering(server, as_json(completion(json.dumps(LETTER)))).write, mode="autonomous")
    schema = server.log[0][0].get_json()["response_format"]["json_schema"]["schema"]
    asked = json.loads(server.log[0][0].get_json()["messages"][1]["content"])
    made = batch.drafts[0]

    assert len(server.log) == 1
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
    batch = draft_winbacks(answering(server, as_json(completion(json.dumps(LETTER | change)))).write, mode="autonomous")

    assert {(made.mode, made.fallback_reason) for made in batch.drafts} == {("template", reason)}
    assert [made.draft_hash for made in batch.drafts] == [made.draft_hash for made in draft_winbacks(None).drafts]


def draft_winbacks(write: Callable[..., object] | None, mode: Mode = "assisted") -> Batch:
    """Forty people whose weeks lie in one range, drafted with the shipped template."""
    library = load_templates(ROOT / "templates")
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
        policies={"winback": Policy(mode=mode)},
        template_of=library.get,
        sender_name="Ledgerline",
        postal_address="Street 1",
        unsubscribe_url=lambda message: f"https://mail.ledgerline.example/u/{message.user_id}",
        phrases=load_phrases(ROOT / "templates"),
        write=write,  # pyright: ignore[reportArgumentType]
    )


def test_no_personal_value_is_in_any_byte_sent(server: HTTPServer) -> None:
    """Recorded at the socket's other end: headers, address line and bodies of all calls."""
    received: list[bytes] = []

    def record(asked: Request) -> Response:
        received.append(f"{asked.url} {asked.headers}".encode() + asked.get_data())
        words = {"opening": "Everything in {{account_name}} is as you left it.", "invitation": "Open one report."}
        return as_json(completion(json.dumps(words)))(asked)

    batch = draft_winbacks(answering(server, record).write)
    sent = b" ".join(received)

    assert len(received) == 1, "4 and 5 weeks are one range"
    for value in (FIRST, COMPANY, ADDRESS, "Zyx", "Quuxbury", "user-", "message-", "account-77", "/u/"):
        assert value.encode() not in sent
    assert b"{{account_name}}" in sent
    assert b"at least 4, below 8" in sent
    assert {made.mode for made in batch.drafts} == {"assisted"}
    assert all(f"Everything in {COMPANY} is as you left it." in made.text for made in batch.drafts)
    assert batch.drafts[0].recipe["prompt"] == content_hash(load_prompt(PROMPTS))


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
    batch = draft_winbacks(answering(server, handler).write)

    assert {(made.mode, made.fallback_reason) for made in batch.drafts} == {("template", reason)}
    assert [made.draft_hash for made in batch.drafts] == [made.draft_hash for made in draft_winbacks(None).drafts]


def counting(server: HTTPServer, budget: Budget, model: str = "small") -> Writer:
    server.expect_request(PATH, method="POST").respond_with_handler(as_json(completion(json.dumps(ANSWER))))
    writer = open_writer(
        key=SecretStr("k"),
        base_url=server.url_for("/v1"),
        model=model,
        timeout_seconds=TIMEOUT_SECONDS,
        prompts=PROMPTS,
        budget=budget,
    )
    assert writer is not None
    return writer


@pytest.mark.parametrize("calls", [0, 1, 4, 5, 100])
def test_a_budget_of_calls_is_never_overrun_and_everybody_has_an_answer(server: HTTPServer, calls: int) -> None:
    """Twenty patterns: so many calls as there may be, and a reason for each of the others."""
    results = counting(server, Budget(calls=calls)).write([request(number) for number in range(20)])

    assert len(server.log) == min(calls, 20)
    assert [result.failure for result in results] == [None] * min(calls, 20) + ["over_budget"] * max(20 - calls, 0)
    assert not any(result.was_called for result in results[calls:])


def test_a_budget_of_tokens_holds_though_nobody_knows_before_what_a_call_takes(server: HTTPServer) -> None:
    """Each answer costs 150 tokens; before a call the most that it could take is set aside."""
    results = counting(server, Budget(tokens=5_000)).write([request(number) for number in range(60)])
    spent = sum(result.tokens_in + result.tokens_out for result in results)

    assert 0 < spent == 150 * len(server.log) <= 5_000
    assert results[-1].failure == "over_budget"


def test_a_budget_in_dollars_goes_by_the_price_list(server: HTTPServer) -> None:
    """120 tokens in and 30 out of gpt-4o-mini: 0.000036 dollars, at 0.15 and 0.60 per million."""
    results = counting(server, Budget(dollars=Decimal("0.002")), "gpt-4o-mini").write([request(n) for n in range(60)])
    made = [result for result in results if result.was_called]

    assert {result.dollars for result in made} == {Decimal("0.000036")}
    assert 0 < len(made) == len(server.log) < 60


def test_a_budget_in_dollars_needs_a_price(server: HTTPServer) -> None:
    """Or it would never stop, or never begin."""
    with pytest.raises(InputError, match="POSTRIDER_MODEL_DOLLARS_PER_RUN: nobody knows the price of small"):
        counting(server, Budget(dollars=Decimal(1)))


def test_what_was_answered_once_is_not_asked_again(server: HTTPServer) -> None:
    """In the next run, with the same prompt and model; a new pattern, and whatever failed, is asked."""
    known: dict[str, WriterResult] = {}
    recorded: list[tuple[str, WriterRequest, WriterResult]] = []

    def record(calls: Sequence[tuple[str, WriterRequest, WriterResult]]) -> None:
        recorded.extend(calls)
        known.update({key: WriterResult(slots=result.slots) for key, _, result in calls if result.slots})

    def find(keys: Sequence[str]) -> dict[str, WriterResult]:
        return {key: known[key] for key in keys if key in known}

    writer = counting(server, Budget())
    first = writer.remembering(find, record)([request(1), request(2)])
    second = writer.remembering(find, record)([request(2), request(3), request(1)])

    assert len(server.log) == len(recorded) == 3
    assert [result.slots for result in (*first, *second)] == [ANSWER] * 5
    assert [result.was_called for result in second] == [False, True, False]
    assert {result.prompt for result in second} == {load_prompt(PROMPTS)}, "the recipe names it all the same"
    assert len({key for key, _, _ in recorded}) == 3


def test_a_call_that_was_not_made_is_not_recorded(server: HTTPServer) -> None:
    """Nothing was paid."""
    recorded: list[object] = []

    counting(server, Budget(calls=1)).remembering(lambda keys: {}, recorded.extend)([request(1), request(2)])

    assert len(recorded) == 1
