"""A company of ten thousand people and a server that keeps every byte it is sent: nothing in them is anybody's."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dagster_project.commands.run import Report
from dagster_project.demo.company import generate
from dagster_project.home import Home
from dagster_project.lifecycle.drafting import writer_requests
from dagster_project.lifecycle.planning import as_planned
from tests.model_server import WELL, completion, objections, scores

pytestmark = pytest.mark.slow

PEOPLE = 10_500
MORNING = datetime(2026, 9, 1, 9)
LETTER = """
letter:
  brief: Give one small, real reason to come back to the reports.
  paragraphs: 2
  placeholders: [first_name, account_name]
"""
TICKET = "  ticket_subject: {type: text, to_model: redact, max_chars: 200}\n"
# Campaigns whose template has slots, and others that have a letter or get one here: every kind of fact that the project ships is asked about.
ASSISTED = ("winback", "welcome", "feature_next")
AUTONOMOUS = ("churn_risk", "setup_stalled", "invite_teammates", "first_value")
ROLES = 3  # writer, reviewer, policy enforcer: a call each per pattern


class Recording:
    """An HTTP server of bare bytes: request line, headers and body of everything that arrives, and a good answer to each."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.bodies: list[bytes] = []
        self.texts = 0  # of them, to be written; the others are of their readers
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append(self.raw_requestline + bytes(self.headers) + body)
                outer.bodies.append(body)
                said = outer.answer(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, body: bytes) -> bytes:
        asked = json.loads(json.loads(body)["messages"][1]["content"])
        if "slots" not in asked:
            each = objections() if "rules" in asked else scores()
            said = dict.fromkeys(asked["texts"], each) if "texts" in asked else each
            return json.dumps(completion(json.dumps(said))).encode()
        self.texts += 1
        words = {name: " ".join([WELL[asked["locale"]], *slot["must_use"]]) for name, slot in asked["slots"].items()}
        if "ctas" in asked:
            words |= {
                "subject": "Ledgerline",
                "preheader": re.split("[,،、]", WELL[asked["locale"]])[0],
                "cta_id": next(iter(asked["ctas"])),
            }
            words |= {name: "" for name, slot in asked["slots"].items() if slot.get("optional")}
        message = {"role": "assistant", "content": json.dumps(words)}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "small-1", "choices": [choice]}
        return json.dumps(answer).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Recording]:
    running = Recording()
    yield running
    running.close()


def changed(project: Path) -> None:
    """The project with a model in seven of its campaigns."""
    for campaign in (*ASSISTED, *AUTONOMOUS):
        policy = project / "dbt_project/models/intermediate/score/triggers" / f"int_triggers__{campaign}.yml"
        mode = "assisted" if campaign in ASSISTED else "autonomous"
        text = re.sub(r"(?m)^( +mode:) \w+", rf"\1 {mode}", policy.read_text())
        policy.write_text(re.sub(r"(?m)^( +review:) \w+", r"\1 all", text))
        template = project / "templates" / "emails" / campaign / "default" / "template.yml"
        if campaign == "winback":
            template.write_text(template.read_text().replace("  weeks_away:", f"{TICKET}  weeks_away:", 1))
        if mode == "autonomous" and "\nletter:" not in template.read_text():
            template.write_text(template.read_text() + LETTER)


def folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def found_in(sent: str, values: Iterable[str]) -> set[str]:
    """Which values stand in a text, in any case: as whole words, where their script has words. One pass over the text's runs of words,
    whatever their number."""
    text = folded(sent)
    wanted = {tuple(re.findall(r"\w+", folded(value))): value for value in values if re.search(r"\w", value)}
    longest = max(map(len, wanted))
    words = re.findall(r"\w+", text)
    runs = {tuple(words[at : at + length]) for length in range(1, longest + 1) for at in range(len(words) - length + 1)}
    joined = {value for value in wanted.values() if not value.isascii() and value.lower() == value.upper()}
    return {value for run, value in wanted.items() if run in runs} | {one for one in joined if folded(one) in text}


def test_the_search_finds_what_it_is_for() -> None:
    """Or the big test would pass for nothing."""
    sent = 'POST /v1 {"a": "Bring Amber-Bakery, and zoe@x.example of 陽子さん; u_00012"}'
    values = ["Amber Bakery", "zoe@x.example", "陽子", "u_00012", "Zoe", "u_0001", "Bakery Amber", "陽"]

    assert found_in(sent, values) == {"Amber Bakery", "zoe@x.example", "陽子", "u_00012", "Zoe", "陽"}


def test_of_ten_thousand_people_no_byte_is_sent(
    make_home: Callable[..., Home], tick: Callable[..., Report], project: Path, tmp_path: Path, server: Recording
) -> None:
    """Names, addresses, companies, ids of users, accounts and messages: in no request line, header or body of a whole tick, nor when
    everybody in the warehouse is written to, every fifth with a ticket full of personal values. One text per pattern; who is drafted again costs
    none."""
    pytest.importorskip("presidio_analyzer", reason="the extra pii is not installed")
    generate(tmp_path / "company", users=PEOPLE, days=60, threads=4)
    changed(project)
    home = make_home(
        data=tmp_path / "company", project=project, openai_base_url=server.url, openai_api_key="k", threads=4
    )
    report = tick(home, MORNING)
    with home.ledger() as ledger:
        messages = [as_planned(message) for message in ledger.messages(source_pack=home.pack.name)]
        patterns = len(writer_requests(messages, home.policies, home.templates.get, home.writing.patterns)[1])
        modes = {(draft.mode, draft.mode_asked) for _, draft in ledger.drafts(states=None)}

        assert report.error is None
        assert modes >= {("assisted", "assisted"), ("autonomous", "autonomous")}
        assert not {mode for mode in modes if mode[0] != mode[1]}, "every answer was taken"
        assert server.texts == patterns < len(messages)
        assert len(server.bodies) == len(set(server.bodies)) == report.model["calls"]
        assert patterns < len(server.bodies) < ROLES * patterns, "readers are given several texts at once"

        first = home.draft(messages, home.writing.model(ledger, report.run_id, MORNING))
        everybody = winbacks(home, messages)
        assert len(server.bodies) == report.model["calls"], "what was drafted once is known"
        calls = len(server.bodies)
        second = home.draft(everybody, home.writing.model(ledger, report.run_id, MORNING))

    assert sum(answer.was_called for answer in first.answers) == 0
    assert len(everybody) >= 10_000
    assert {draft.mode for draft in second.drafts} == {"assisted"}
    assert len(server.bodies) == len(set(server.bodies)) <= calls + ROLES * 100, (
        "six ranges, with and without a name, a company or a ticket"
    )
    ids = {message.message_id for message in [*messages, *everybody]}
    people = home.warehouse.rows("select user_id, account_id, email, first_name, account_name from int_users_enriched")
    values = {str(value) for row in people for value in row.values() if value is not None} | ids
    # A client writes é as \\u00e9: what was sent is looked at as it was sent, and as its reader reads it.
    read = [json.dumps(json.loads(body), ensure_ascii=False) for body in server.bodies]
    asked = [json.loads(body)["messages"][1]["content"] for body in server.bodies]
    found = found_in("\n".join([*(one.decode() for one in server.received), *read, *asked]), values)
    authors = "\n".join(path.read_text() for path in (project / "templates").rglob("*") if path.is_file())

    assert len(people) >= 10_000
    assert len(values) > 30_000
    # The sender's own staff are users, too, and their account has the name that the templates tell everybody.
    assert found == {"Ledgerline"} == found_in(authors, found)


def winbacks(home: Home, messages: Iterable[object]) -> list:
    """One for everybody in the warehouse, with their own facts and a number of weeks of their own."""
    like = next(one for one in messages if one.campaign_id == "winback")  # pyright: ignore[reportAttributeAccessIssue]
    rows = home.warehouse.rows(
        "select user_id, account_id, email, first_name, account_name from int_users_enriched where email is not null"
    )
    return [
        dataclasses.replace(
            like,  # pyright: ignore[reportArgumentType]
            message_id=f"{number:064x}",
            user_id=row["user_id"],
            account_id=row["account_id"],
            email=row["email"],
            facts={
                "first_name": row["first_name"],
                "account_name": row["account_name"],
                "weeks_away": 4 + number % 60,
                "ticket_subject": f"please ask {row['first_name']} of {row['account_name']} ({row['email']}), {row['account_id']}"
                if number % 5 == 0
                else None,
            },
        )
        for number, row in enumerate(rows)
    ]
