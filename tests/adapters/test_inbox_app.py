"""The inbox over HTTP: a real server, a real ledger, and clients that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.inbox_app import (
    DEFAULT_LIMIT,
    INBOX_SALT,
    MAX_AGE,
    MAX_LIMIT,
    MAX_USER_ID_CHARS,
    inbox_app,
    inbox_token,
    read_inbox_token,
)
from dagster_project.ledger import Ledger, database, open_ledger
from dagster_project.ledger.inbox import Inbox, InboxMessage
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.links import UNSUBSCRIBE_SALT, unsubscribe_url
from dagster_project.lifecycle.message import Draft, PlannedMessage, Sending
from tests.ledgers import new_ledger

NOW = datetime(2026, 11, 21, 9)
OLD, NEW, FOREIGN = "an old key, sixteen and more", "a new key, sixteen and more", "a key of somebody else's"
LINK = "https://app.ledgerline.example/start"
HTML = f'<p>Hello</p><a href="{LINK}">Start</a><script>alert(1)</script>'


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass
class Site:
    """A served inbox: its port, the clock of both sides, and a client that asks as a page would."""

    port: int
    clock: Clock
    ledger: Ledger

    def ask(self, method: str, path: str, *, user: str | None = None, body: Any = None, **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            given["Authorization"] = f"Bearer {inbox_token([NEW], user, clock=self.clock)}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=given, encode_chunked=not isinstance(body, bytes))
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())

    def put(self, *words: tuple[str, str, str], expires_at: datetime | None = None, user_id: str = "u1") -> None:
        """Messages of these subjects, texts and HTMLs, sent and in the inbox of one person: <user_id>-1 and so on."""
        send(self.ledger, [f"{user_id}-{number}" for number in range(1, len(words) + 1)], user_id)
        for number, (subject, text, html) in enumerate(words, 1):
            self.ledger.deliver_to_inbox(f"{user_id}-{number}", subject, text, html, expires_at)


def send(ledger: Ledger, message_ids: list[str], user_id: str) -> None:
    """Messages to one person on their way from plan to the mark before the send."""
    ledger.begin_tick(f"run-{user_id}", NOW, "demo")
    ledger.plan([planned(one, user_id) for one in message_ids], f"run-{user_id}", NOW, "demo")
    ledger.record_drafts([draft(one) for one in message_ids], f"run-{user_id}", NOW)
    ledger.route(dict.fromkeys(message_ids, "approved"), f"run-{user_id}", NOW)
    ledger.record_gate(f"run-{user_id}", NOW, "decide", True, [])
    ledger.release(f"run-{user_id}", NOW, "demo", ["decide"], timedelta(hours=6), "policy")
    sends = [
        Sending(one.message.message_id, one.lease, one.draft.draft_hash, b"", "a@b.example", one.message.email)
        for one in ledger.claim("worker", 100, 60)
    ]
    assert ledger.mark_sending(sends, NOW) == {}


def planned(message_id: str, user_id: str) -> PlannedMessage:
    return PlannedMessage(
        message_id=message_id,
        campaign_id="welcome",
        user_id=user_id,
        account_id=None,
        occurrence_key=message_id,
        decision_id=message_id,
        policy_hash="0" * 64,
        message_type="product_tips",
        channel="in_app",
        variant="default",
        locale="en",
        email="ada@customer.example",
        facts={},
        send_after=None,
        send_before=None,
    )


def draft(message_id: str) -> Draft:
    return Draft(
        message_id=message_id,
        mode="template",
        mode_asked="template",
        fallback_reason=None,
        locale="en",
        subject="Welcome",
        preheader="",
        html=HTML,
        text="Hello",
        unsubscribe_url=None,
        recipe={"template": "0" * 64},
    )


class PromptServer(uvicorn.Server):
    """Looks every 10 ms whether it shall stop, and not every 100."""

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    """The port of the app on loopback, in a thread of its own."""
    server = PromptServer(uvicorn.Config(app, log_config=None, lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@contextlib.contextmanager
def opened(url: str, **options: Any) -> Iterator[Site]:
    clock = Clock()
    with open_ledger(url, clock) as ledger:
        app = inbox_app(ledger.inbox, ledger.mark_read, [NEW, OLD], clock=clock, **options)
        with served(app) as port:
            yield Site(port, clock, ledger)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened(new_ledger(tmp_path / "ledger.sqlite")) as one:
        yield one


def test_a_person_gets_their_messages_as_data(site: Site) -> None:
    site.put(("Welcome", "Hello\n", HTML))
    reply = site.ask("GET", "/inbox", user="u1")

    assert reply.status == 200
    assert reply.content == {
        "messages": [
            {
                "message_id": "u1-1",
                "subject": "Welcome",
                "text": "Hello\n",
                "html": HTML,
                "cta_url": LINK,
                "created_at": "2026-11-21T09:00:00Z",
                "expires_at": "2026-12-21T09:00:00Z",
                "read_at": None,
            }
        ],
        "unread": 1,
    }


def test_every_answer_forbids_keeping_it_and_taking_it_for_a_page(site: Site) -> None:
    site.put(("Welcome", "Hello\n", HTML))
    replies = [
        site.ask("GET", "/inbox", user="u1"),
        site.ask("POST", "/inbox/u1-1/read", user="u1"),
        site.ask("POST", "/inbox/u9-1/read", user="u1"),
        site.ask("GET", "/inbox?limit=0", user="u1"),
        site.ask("GET", "/inbox"),
        site.ask("GET", "/elsewhere"),
        site.ask("DELETE", "/inbox", user="u1"),
    ]

    assert [reply.status for reply in replies] == [200, 200, 404, 400, 401, 404, 405]
    for reply in replies:
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert not {"set-cookie", "location", "access-control-allow-origin"} & reply.headers.keys()
    assert all(set(reply.content) == {"error"} for reply in replies[2:])


def test_reading_is_noted_once_and_counted(site: Site) -> None:
    site.put(("First", "", ""), ("Second", "", ""))
    first = site.ask("POST", "/inbox/u1-1/read", user="u1")
    site.clock.now += timedelta(minutes=5)
    again = site.ask("POST", "/inbox/u1-1/read", user="u1", body=b"{}")
    found = site.ask("GET", "/inbox", user="u1").content

    assert (first.status, first.content) == (again.status, again.content) == (200, {"message_id": "u1-1"})
    assert found["unread"] == 1
    assert {one["message_id"]: one["read_at"] for one in found["messages"]} == {
        "u1-1": "2026-11-21T09:00:00Z",
        "u1-2": None,
    }


def test_nobody_sees_or_marks_the_message_of_another(site: Site) -> None:
    site.put(("For the first", "", ""))
    site.put(("For the second", "", ""), user_id="u2")
    seen = site.ask("GET", "/inbox", user="u2")
    foreign, missing = (site.ask("POST", f"/inbox/{one}/read", user="u2") for one in ("u1-1", "u1-9"))

    assert [one["subject"] for one in seen.content["messages"]] == ["For the second"]
    assert b"first" not in seen.body
    assert (foreign.status, foreign.body) == (missing.status, missing.body) == (404, b'{"error":"not_found"}')
    assert site.ask("GET", "/inbox", user="u1").content["unread"] == 1
    assert site.ask("GET", "/inbox", user="u3").content == {"messages": [], "unread": 0}


def test_what_has_expired_is_gone(site: Site) -> None:
    site.put(("Welcome", "", ""), expires_at=NOW + timedelta(minutes=10))
    site.clock.now += timedelta(minutes=10)

    assert site.ask("GET", "/inbox", user="u1").content == {"messages": [], "unread": 0}
    assert site.ask("POST", "/inbox/u1-1/read", user="u1").status == 404


SIGNED_BY: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


def signed(salt: str, payload: Any) -> str:
    """A token by the right key, dated by the machine's clock."""
    return str(URLSafeTimedSerializer(NEW, salt=salt, signer_kwargs=SIGNED_BY).dumps(payload))


GOOD = inbox_token([NEW], "u1", clock=lambda: NOW)
UNSUBSCRIBE = unsubscribe_url("https://mail.ledgerline.example", [NEW], "u1", "tips").rpartition("/")[2]
WRONG = {
    "nothing": [],
    "an empty header": [""],
    "no token": ["Bearer"],
    "an empty token": ["Bearer "],
    "another scheme": [f"Basic {GOOD}"],
    "no scheme": [GOOD],
    "a token cut short": [f"Bearer {GOOD[:-1]}"],
    "a token changed": [f"Bearer X{GOOD[1:]}"],
    "words behind the token": [f"Bearer {GOOD} {GOOD}"],
    "two headers": [f"Bearer {GOOD}", f"Bearer {GOOD}"],
    "somebody else's key": [f"Bearer {inbox_token([FOREIGN], 'u1', clock=lambda: NOW)}"],
    "a token to unsubscribe": [f"Bearer {UNSUBSCRIBE}"],
    "a token without a time": [
        f"Bearer {URLSafeSerializer(NEW, salt=INBOX_SALT, signer_kwargs=SIGNED_BY).dumps('u1')}"
    ],
    "a token that is too old": [f"Bearer {inbox_token([NEW], 'u1', clock=lambda: NOW - timedelta(seconds=3_601))}"],
    "a token from the future": [f"Bearer {inbox_token([NEW], 'u1', clock=lambda: NOW + timedelta(seconds=61))}"],
    "a long token": ["Bearer " + "x" * 5_000],
    "bytes": ["Bearer \xff\xfe"],
    "dots": ["Bearer ..."],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_token_opens_nothing(site: Site, name: str) -> None:
    site.put(("Welcome", "Hello\n", HTML))
    for method, path in (("GET", "/inbox"), ("POST", "/inbox/u1-1/read")):
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
        with contextlib.closing(connection):
            connection.putrequest(method, path)
            for value in WRONG[name]:
                connection.putheader("Authorization", value.encode("latin-1"))
            connection.putheader("Content-Length", "0")
            connection.endheaders()
            reply = connection.getresponse()
            assert (reply.status, reply.read()) == (401, b'{"error":"unauthorized"}')
            assert (reply.getheader("WWW-Authenticate") or "").startswith("Bearer")
    assert site.ledger.inbox("u1").unread == 1


@pytest.mark.parametrize("place", ["/inbox?token={}", "/inbox?access_token={}", "/inbox?authorization=Bearer%20{}"])
def test_a_token_in_the_address_counts_for_nothing(site: Site, place: str) -> None:
    """Addresses are logged by every server on the way."""
    assert site.ask("GET", place.format(GOOD)).status == 401
    assert site.ask("GET", "/inbox", Cookie=f"token={GOOD}; Authorization=Bearer {GOOD}").status == 401


def test_the_scheme_may_be_written_in_any_case(site: Site) -> None:
    assert site.ask("GET", "/inbox", Authorization=f"bearer {GOOD}").status == 200


@pytest.mark.parametrize(("seconds", "status"), [(-60, 200), (0, 200), (3_600, 200), (3_601, 401)])
def test_a_token_is_good_for_an_hour_and_for_clocks_a_minute_apart(site: Site, seconds: int, status: int) -> None:
    site.clock.now += timedelta(seconds=seconds)

    assert site.ask("GET", "/inbox", Authorization=f"Bearer {GOOD}").status == status
    assert timedelta(hours=1) == MAX_AGE


def test_the_age_of_a_token_can_be_set(tmp_path: Path) -> None:
    with opened(new_ledger(tmp_path / "ledger.sqlite"), max_age=timedelta(seconds=10)) as site:
        statuses = []
        for seconds in (10, 1):
            site.clock.now += timedelta(seconds=seconds)
            statuses.append(site.ask("GET", "/inbox", Authorization=f"Bearer {GOOD}").status)

    assert statuses == [200, 401]


def test_a_token_outlives_a_change_of_key_until_the_old_key_is_dropped() -> None:
    before = inbox_token([OLD], "u1", clock=lambda: NOW)
    after = inbox_token([NEW, OLD], "u1", clock=lambda: NOW)

    def read(token: str, *keys: str) -> str | None:
        return read_inbox_token(token, keys, max_age=MAX_AGE, now=NOW)

    assert [read(before, NEW, OLD), read(before, NEW), read(after, NEW), read(after, OLD)] == ["u1", None, "u1", None]


@given(user_id=st.text(min_size=1, max_size=MAX_USER_ID_CHARS))
def test_a_token_says_whose_it_is_or_is_never_made(user_id: str) -> None:
    try:
        token = inbox_token([NEW], user_id, clock=lambda: NOW)
    except InputError:
        assert set(user_id) & {"\0", *map(chr, range(0xD800, 0xE000))}
        return

    assert read_inbox_token(token, [NEW], max_age=MAX_AGE, now=NOW) == user_id
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(token=st.text(max_size=200))
def test_no_text_is_taken_for_a_token(token: str) -> None:
    assert read_inbox_token(token, [NEW], max_age=MAX_AGE, now=NOW) is None


@pytest.mark.parametrize("salt", ["postrider.preferences", UNSUBSCRIBE_SALT, "", "itsdangerous"])
def test_a_token_of_another_purpose_opens_nothing(salt: str) -> None:
    def opens(token: str) -> str | None:
        return read_inbox_token(token, [NEW], max_age=MAX_AGE, now=utc_now())

    assert (opens(signed(salt, "u1")), opens(signed(INBOX_SALT, "u1"))) == (None, "u1")


@pytest.mark.parametrize("payload", [None, 1, ["u1"], {"user_id": "u1"}, "", "u\0", "x" * 257])
def test_a_token_of_another_shape_opens_nothing(payload: Any) -> None:
    """Signed by the right key for the right purpose, as another version of us might."""
    assert read_inbox_token(signed(INBOX_SALT, payload), [NEW], max_age=MAX_AGE, now=utc_now()) is None


@pytest.mark.parametrize("user_id", ["", "x" * 257, "u\0", "\ud800"])
def test_no_token_is_made_for_what_cannot_be_a_user_id(user_id: str) -> None:
    with pytest.raises(InputError, match=r"user_id: found .* allowed: 1 to 256 characters"):
        inbox_token([NEW], user_id)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keys": []}, "at least one key"),
        ({"keys": [NEW, ""]}, "at least one key"),
        ({"max_age": timedelta(0)}, "more than nothing"),
        ({"origins": ["*"]}, "each origin by its name"),
        ({"origins": ["https://app.example.com/"]}, "found 'https://app.example.com/'"),
        ({"origins": ["null"]}, "each origin by its name"),
    ],
)
def test_settings_that_would_open_the_inbox_too_far_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        inbox_app(lambda *_: Inbox([], 0), lambda *_: True, **({"keys": [NEW]} | wrong))
    assert NEW not in str(caught.value)


def test_the_newest_come_first_and_no_more_than_were_asked_for(site: Site) -> None:
    site.put(*[(f"Message {number}", "", "") for number in range(1, 61)])
    asked = {limit: site.ask("GET", f"/inbox{limit}", user="u1").content for limit in ("", "?limit=1", "?limit=50")}

    assert [len(content["messages"]) for content in asked.values()] == [DEFAULT_LIMIT, 1, MAX_LIMIT]
    assert {content["unread"] for content in asked.values()} == {60}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=51", "limit=-1", "limit=1e1", "limit=", "limit=%D9%A3", "limit=1&limit=2", "limit=+1"]
)
def test_a_limit_that_is_none_is_refused_in_a_word(site: Site, query: str) -> None:
    reply = site.ask("GET", f"/inbox?{query}", user="u1")

    assert (reply.status, reply.content) == (400, {"error": "limit: allowed: 1 to 50"})


@pytest.mark.parametrize(
    "path",
    [
        "/inbox/",
        "//inbox",
        "/inbox/u1-1/read/",
        "/inbox//read",
        "/inbox/../read",
        "/inbox/%2e%2e%2fread/read",
        "/inbox/u1-1%00/read",
        "/inbox/u1-1%0a/read",
        "/inbox/%ff/read",
        "/inbox/" + "x" * 129 + "/read",
        "/inbox/' or 1=1 --/read".replace(" ", "%20"),
    ],
)
def test_no_other_path_leads_anywhere(site: Site, path: str) -> None:
    """Nor is anybody sent elsewhere with the token in hand."""
    site.put(("Welcome", "", ""))
    replies = [site.ask("POST", path, user="u1", Host="evil.example"), site.ask("GET", path, user="u1")]

    assert {reply.status for reply in replies} <= {404, 405}
    assert not any("location" in reply.headers for reply in replies)
    assert site.ledger.inbox("u1").unread == 1


@pytest.mark.parametrize("message_id", ["%00", "u1-1%0a", "%ff", "-x", "x" * 129, "%27%20or%20%27%27=%27"])
def test_what_cannot_be_a_message_id_is_never_looked_up(message_id: str) -> None:
    asked: list[str] = []

    def mark(_: str, message_id: str) -> bool:
        asked.append(message_id)
        return True

    with served(inbox_app(raising(OSError()), mark, [NEW], clock=lambda: NOW)) as port:
        site: Any = Site(port, Clock(), None)  # type: ignore
        paths = (f"/inbox/{message_id}/read", "/inbox/u1-1/read")
        statuses = [site.ask("POST", path, user="u1").status for path in paths]

    assert (statuses, asked) == ([404, 200], ["u1-1"])


@pytest.mark.parametrize("body", [b"x" * 1_025, [b"x" * 700, b"x" * 700]], ids=["at once", "in chunks"])
def test_a_long_body_is_refused_and_nothing_is_marked(site: Site, body: Any) -> None:
    site.put(("Welcome", "", ""))
    reply = site.ask("POST", "/inbox/u1-1/read", user="u1", body=body)

    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert site.ledger.inbox("u1").unread == 1


def test_other_sites_are_not_let_in_by_default(site: Site) -> None:
    asked = {"Origin": "https://evil.example", "Access_Control_Request_Method": "GET"}
    preflight = site.ask("OPTIONS", "/inbox", **asked, Access_Control_Request_Headers="authorization")
    simple = site.ask("GET", "/inbox", user="u1", Origin="https://evil.example")

    assert preflight.status == 405
    assert not [name for reply in (preflight, simple) for name in reply.headers if name.startswith("access-control")]


def test_the_products_own_origin_is_let_in_by_name(tmp_path: Path) -> None:
    ours, theirs = "https://app.ledgerline.example", "https://evil.example"
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "authorization"}
    with opened(new_ledger(tmp_path / "ledger.sqlite"), origins=[ours]) as site:
        preflights = [site.ask("OPTIONS", "/inbox", Origin=origin, **asked) for origin in (ours, theirs)]
        simple = [site.ask("GET", "/inbox", user="u1", Origin=origin) for origin in (ours, theirs)]

    assert [reply.status for reply in preflights] == [200, 400]
    allowed = [reply.headers.get("access-control-allow-origin") for reply in (*preflights, *simple)]
    assert allowed == [ours, None, ours, None]
    assert not any("access-control-allow-credentials" in reply.headers for reply in (*preflights, *simple))


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (InputError("ledger sqlite:///x: database is locked"), 503, "unavailable"),
        (RuntimeError("parameters: ('ada@customer.example', 'a very private text')"), 500, "internal"),
    ],
)
def test_trouble_is_a_word_without_a_trace(
    error: Exception, status: int, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither to the client nor in the log does anything stand that belongs to a person."""
    app = inbox_app(raising(error), raising(error), [NEW], clock=lambda: NOW)
    with caplog.at_level(logging.INFO), served(app) as port:
        site: Any = Site(port, Clock(), None)  # type: ignore
        replies = [site.ask("GET", "/inbox", user="u1"), site.ask("POST", "/inbox/m1/read", user="u1")]

    assert [(reply.status, reply.content) for reply in replies] == [(status, {"error": word})] * 2
    assert [record.name for record in caplog.records].count("dagster_project.adapters.inbox_app") == 2
    assert "private" not in caplog.text
    assert "Traceback" not in caplog.text


def test_text_that_no_json_can_hold_is_no_trace_either() -> None:
    broken = InboxMessage("m1", "\ud800", "", "", None, NOW, NOW, None)
    app = inbox_app(lambda *_: Inbox([broken], 1), raising(OSError()), [NEW], clock=lambda: NOW)
    with served(app) as port:
        site: Any = Site(port, Clock(), None)  # type: ignore
        reply = site.ask("GET", "/inbox", user="u1")

    assert (reply.status, reply.content) == (500, {"error": "internal"})


def test_a_ledger_that_is_locked_is_asked_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    with opened(new_ledger(tmp_path / "ledger.sqlite")) as site:
        site.put(("Welcome", "", ""))
        holder = database.sqlite.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        busy = site.ask("POST", "/inbox/u1-1/read", user="u1")
        holder.execute("ROLLBACK")
        holder.close()
        free = site.ask("POST", "/inbox/u1-1/read", user="u1")

    assert (busy.status, busy.headers["retry-after"], free.status) == (503, "5", 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_at_once_each_get_their_own(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    url = new_ledger(tmp_path / "ledger.sqlite")
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("CREATE SCHEMA inbox_app")
        url += "?options=-csearch_path%3Dinbox_app"
    with opened(url) as site:
        for number in range(8):
            site.put((f"For u{number}", "", ""), user_id=f"u{number}")

        def visit(turn: int) -> list[str]:
            user = f"u{turn % 8}"
            assert site.ask("POST", f"/inbox/{user}-1/read", user=user).status == 200
            content = site.ask("GET", "/inbox", user=user).content
            return [user, *[one["subject"] for one in content["messages"]], str(content["unread"])]

        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(visit, range(64)))

    assert seen == [[f"u{turn % 8}", f"For u{turn % 8}", "0"] for turn in range(64)]


def test_naughty_strings_arrive_as_they_were_put(site: Site, shared_data: Path) -> None:
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))
    texts = ["\n".join(strings[start::20]) for start in range(20)]
    site.put(*[(text, text, f"<p>{text}</p>") for text in texts])
    found = site.ask("GET", "/inbox?limit=50", user="u1").content["messages"]

    assert {(one["subject"], one["text"], one["html"]) for one in found} == {
        (text, text, f"<p>{text}</p>") for text in texts
    }
    assert len(strings) > 400


def test_naughty_user_ids_each_open_their_own_inbox(site: Site, shared_data: Path) -> None:
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))
    users = [one for one in dict.fromkeys(strings) if 0 < len(one) <= MAX_USER_ID_CHARS and "\0" not in one]
    send(site.ledger, ["m1"], users[-1])
    site.ledger.deliver_to_inbox("m1", "Yours", "", "")
    unread = {user: site.ask("GET", "/inbox", user=user).content["unread"] for user in users}

    assert unread == dict.fromkeys(users[:-1], 0) | {users[-1]: 1}
