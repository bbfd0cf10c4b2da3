"""A signed POST against real servers: what arrives, and what each kind of trouble at each stage is called."""

from __future__ import annotations

import base64
import dataclasses
import email
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.policy import SMTP
from typing import Any

import pytest

from dagster_project.adapters.channels import http_post, signed_post
from dagster_project.adapters.channels.http_post import Poster, Timeouts, outcome_of
from dagster_project.adapters.channels.signed_post import read_secrets, signature
from dagster_project.adapters.channels.sockets import has_answered
from dagster_project.adapters.channels.webhook import WebhookChannel
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built, build
from tests.http_server import (
    MORE_THAN_BUFFERS_HOLD,
    PATIENCE,
    Forgetful,
    Scripted,
    behaving,
    certificate,
    free_port,
    reply,
)

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
AMBIGUOUS_RETRIES = 300  # without --long
ALL_AMBIGUOUS_RETRIES = 10_000
MOST_IN_A_ROW = 200  # that many ambiguous attempts of one message would take 10^24 of them


def mail(number: int = 1, subject: str = "Grüße, Ada", to_address: str = "ada@customer.example") -> Built:
    return build(
        f"message-{number}",
        sender="Ledgerline <hello@ledgerline.example>",
        to_address=to_address,
        subject=subject,
        html="<p>Hello</p>\n",
        text="Hello\n",
        unsubscribe_url="https://mail.ledgerline.example/u/1",
        date=datetime.fromisoformat("2026-11-21T09:00:00"),
        sending_domain="ledgerline.example",
    )


def large_mail(number: int = 1) -> Built:
    """A mail that cannot be written to a server that does not read."""
    small = mail(number)
    return dataclasses.replace(small, raw=small.raw + b"x" * MORE_THAN_BUFFERS_HOLD)


def channel_to(url: str, **options: Any) -> WebhookChannel:
    return WebhookChannel(url, SECRET, **{"timeouts": PATIENCE, **options})


@pytest.fixture
def scripted() -> Iterator[Any]:
    servers: list[Scripted] = []

    def start(*arguments: Any, **options: Any) -> Scripted:
        servers.append(Scripted(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_the_receiver_gets_the_message_and_a_signature_that_proves_it() -> None:
    """`raw` is exactly what SMTP would carry; the signature is checked here with nothing but the standard library."""
    clock = datetime.fromisoformat("2026-11-21T09:30:00")
    with behaving() as (url, requests, _), channel_to(url, clock=lambda: clock) as channel:
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.provider_id, receipt.detail) == ("sent", "r-1", "reply: 200 OK")
    (request,) = requests
    assert request.target == "/hook?to=us"
    content = json.loads(request.body)
    assert base64.b64decode(content.pop("raw")) == mail().raw
    assert content == {
        "message_id": "message-1",
        "to": "ada@customer.example",
        "from": "hello@ledgerline.example",
        "subject": "Grüße, Ada",
    }
    headers = request.headers
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == headers["webhook-id"] == "message-1"
    assert headers["webhook-timestamp"] == "1795253400"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_published_example() -> None:
    """The vector that the reference libraries of Standard Webhooks test against."""
    keys = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "X")

    made = signature(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_give_two_signatures_so_that_a_key_can_be_changed() -> None:
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    with behaving() as (url, requests, _), WebhookChannel(url, f"{other}, {SECRET}") as channel:
        channel.send(mail())

    (request,) = requests
    made = request.headers["webhook-signature"].split(" ")
    signed = f"message-1.{request.headers['webhook-timestamp']}.".encode() + request.body
    assert made == [
        "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in (b"o" * 24, KEY)
    ]


def test_the_raw_message_reads_as_it_was_built() -> None:
    with behaving() as (url, requests, _), channel_to(url) as channel:
        channel.send(mail())

    read = email.message_from_bytes(base64.b64decode(json.loads(requests[0].body)["raw"]), policy=SMTP)
    assert (read["To"], read["Subject"]) == ("ada@customer.example", "Grüße, Ada")


def test_many_messages_share_one_connection() -> None:
    with behaving() as (url, requests, peers), channel_to(url) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(50)]

    assert outcomes == ["sent"] * 50
    assert len(peers) == 1
    assert [json.loads(request.body)["message_id"] for request in requests] == [f"message-{n}" for n in range(50)]


def test_a_message_is_taken_only_when_its_turn_has_come() -> None:
    """Whoever gives them can stop at any of them: what was not taken is not sent."""
    waiting = iter([mail(number) for number in range(3)])
    with behaving() as (url, requests, _), channel_to(url) as channel:
        built, receipt = next(iter(channel.transmit(waiting)))

    assert (built.message_id, receipt.outcome) == ("message-0", "sent")
    assert [left.message_id for left in waiting] == ["message-1", "message-2"]
    assert len(requests) == 1


STATUSES = [
    (200, "sent", False),
    (201, "sent", False),
    (202, "sent", False),
    (204, "sent", False),
    (301, "rejected", True),
    (302, "rejected", True),
    (307, "rejected", True),
    (400, "rejected", False),
    (401, "not_sent", True),
    (403, "not_sent", True),
    (404, "not_sent", True),
    (408, "unknown", False),
    (409, "rejected", False),
    (410, "not_sent", True),
    (413, "rejected", False),
    (422, "rejected", False),
    (429, "deferred", True),
    (500, "unknown", True),
    (502, "unknown", True),
    (503, "unknown", True),
    (599, "unknown", True),
    (799, "unknown", True),
]


@pytest.mark.parametrize(("status", "outcome", "is_channel_down"), STATUSES)
def test_a_status_is_the_verdict(scripted: Any, status: int, outcome: str, is_channel_down: bool) -> None:
    """A server error may come after the message was taken; a redirect is never followed, for nobody configured its aim."""
    elsewhere = scripted()
    server = scripted(good=reply(status, b"", f"Location: {elsewhere.url}"))

    with channel_to(server.url) as channel:
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.is_channel_down) == (outcome, is_channel_down)
    assert receipt.detail == f"reply: {status} Words"
    assert (len(server.requests), len(elsewhere.requests)) == (1, 0)


AFTER_THE_LAST_BYTE = [
    ("drop", "unknown"),
    ("reset", "unknown"),
    ("hang", "unknown"),
    (b"HTTP/1.1 20", "unknown"),
    (b"nonsense\r\n\r\n", "unknown"),
    (b"HTTP/1.1 abc OK\r\n\r\n", "unknown"),
    (b"HTTP/1.1 103 Early Hints\r\n\r\n", "unknown"),
    (b"X" * 70_000, "unknown"),
    ("slices", "sent"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200), "sent"),
    (b"HTTP/1.0 200 OK\r\n\r\n", "sent"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b'{"id": "r-', "sent"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n" + b'{"id"', "sent"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "sent"),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 99\r\n\r\n", "unknown"),
    (b"HTTP/1.1 422 No\r\nContent-Length: 99\r\n\r\n", "rejected"),
]


@pytest.mark.parametrize(("trouble", "outcome"), AFTER_THE_LAST_BYTE)
def test_after_the_last_byte_only_a_status_decides(scripted: Any, trouble: bytes | str, outcome: str) -> None:
    """The server may have taken the message before the line went dead: nobody can know, and nobody tries again."""
    server = scripted("reply", trouble)

    with channel_to(server.url) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == outcome
    assert receipt.detail.startswith("reply: ")
    assert (len(server.requests), server.connections) == (1, 1), "an ambiguous send is never repeated"


@pytest.mark.parametrize("stage", ["connect", "head", "body"])
@pytest.mark.parametrize(
    "trouble",
    ["drop", "reset", "hang", b"nonsense\r\n\r\n", reply(500), reply(408)],
    ids=["drop", "reset", "hang", "nonsense", "500", "408"],
)
def test_what_fails_before_the_last_byte_was_not_sent(scripted: Any, stage: str, trouble: bytes | str) -> None:
    """A server without the whole request cannot act on it, whatever it says."""
    server = scripted("none", trouble)
    with channel_to(server.url) as channel:
        first = channel.send(mail(1))
        server.hang_up()
        server.stage = stage
        second = channel.send(large_mail(2))
        server.stage = "none"
        third = channel.send(mail(3))

    assert [first.outcome, second.outcome, third.outcome] == ["sent", "not_sent", "sent"]
    assert second.detail.startswith(("write: ", "reply: ", "connect: "))
    assert [json.loads(request.body)["message_id"] for request in server.requests] == ["message-1", "message-3"]


@pytest.mark.parametrize(
    ("early", "outcome"),
    [(reply(413), "rejected"), (reply(401), "not_sent"), (reply(301), "rejected"), (reply(429), "deferred")],
    ids=["413", "401", "301", "429"],
)
@pytest.mark.parametrize("stage", ["head", "body"])
def test_a_refusal_before_the_last_byte_is_final(scripted: Any, stage: str, early: bytes, outcome: str) -> None:
    """A server need not read 8 MB to say that they are too many; sending them again would change nothing."""
    server = scripted(stage, early)
    with channel_to(server.url) as channel:
        receipt = channel.send(large_mail())

    assert receipt.outcome == outcome
    assert server.requests == []


@pytest.mark.parametrize("stage", ["head", "body"])
def test_accepted_before_the_last_byte_is_believed_only_when_the_rest_could_be_written(
    scripted: Any, stage: str
) -> None:
    """It says yes to what it has not got. As the rest never went out, nobody can know what it will make of that."""
    server = scripted(stage, reply(200))
    with channel_to(server.url) as channel:
        receipt = channel.send(large_mail())

    assert receipt.outcome == "unknown"


@pytest.mark.parametrize("stage", ["head", "body"])
@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        ("drop", "not_sent"),
        ("reset", "not_sent"),
        (reply(500), "not_sent"),
        (reply(413), "rejected"),
        (reply(429), "deferred"),
        (reply(200), "sent"),
    ],
    ids=["drop", "reset", "500", "413", "429", "200"],
)
def test_the_last_byte_is_held_back_until_a_look_at_the_server(
    monkeypatch: pytest.MonkeyPatch, scripted: Any, stage: str, trouble: bytes | str, outcome: str
) -> None:
    """So that it matters not how small the mail is. Here the look comes late enough for a server that was quick."""

    def look_later(sock: Any) -> bool:
        time.sleep(0.1)
        return has_answered(sock)

    monkeypatch.setattr(http_post, "has_answered", look_later)
    server = scripted(stage, trouble)
    with channel_to(server.url) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == outcome
    assert server.requests == []


def test_an_interrupted_message_leaves_no_reply_behind_for_the_next(
    monkeypatch: pytest.MonkeyPatch, scripted: Any
) -> None:
    """The verdict on the first would be taken for that on the second."""
    server = scripted(good=lambda request: reply(422 if b"message-1" in request.body else 200))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with channel_to(server.url) as channel:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Poster, "_read", interrupt)
            channel.send(mail(1))
        receipt = channel.send(mail(2))

    assert receipt.outcome == "sent"
    assert server.connections == 2


def test_after_an_early_refusal_the_connection_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch, scripted: Any
) -> None:
    """The server still waits for the rest of the refused request: the next one would be taken for that."""

    def look_later(sock: Any) -> bool:
        time.sleep(0.05)
        return has_answered(sock)

    monkeypatch.setattr(http_post, "has_answered", look_later)
    server = scripted("body", reply(413), times=1)
    server.lingers = True
    with channel_to(server.url) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(2)]

    assert outcomes == ["rejected", "sent"]
    assert server.connections == 2


def test_no_server_is_one_clear_line() -> None:
    port = free_port()

    with (
        pytest.raises(
            InputError, match=rf"^POSTRIDER_WEBHOOK_URL: .*127\.0\.0\.1:{port} \(connection refused\)"
        ) as error,
        channel_to(f"http://127.0.0.1:{port}/token-in-path"),
    ):
        pass

    assert "token-in-path" not in str(error.value)


def test_a_server_gone_in_mid_run_leaves_the_message_unsent(scripted: Any) -> None:
    server = scripted()
    with channel_to(server.url) as channel:
        assert channel.send(mail(1)).outcome == "sent"
        server.close()
        receipt = channel.send(mail(2))

    assert (receipt.outcome, receipt.is_channel_down) == ("not_sent", True)
    assert receipt.detail.startswith("connect: ")
    assert len(server.requests) == 1


def test_a_connection_closed_between_two_messages_is_replaced(scripted: Any) -> None:
    """Servers close idle connections: no message is held up for it, and none goes twice."""
    server = scripted()
    with channel_to(server.url) as channel:
        outcomes = []
        for number in range(5):
            outcomes.append(channel.send(mail(number)).outcome)
            server.hang_up()

    assert outcomes == ["sent"] * 5
    assert server.connections == 5
    assert len(server.requests) == 5


def test_a_word_nobody_asked_for_is_not_taken_for_the_next_reply(scripted: Any) -> None:
    """Some servers say 408 on an idle connection; read as the answer to the next message it would be a wrong verdict."""
    server = scripted(good=reply(200) + reply(422))
    with channel_to(server.url) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(3)]

    assert outcomes == ["sent"] * 3


@pytest.mark.parametrize("trouble", ["drop", "reset"])
def test_a_kept_connection_that_dies_with_the_message_is_not_tried_again(scripted: Any, trouble: str) -> None:
    """The server had every byte of the second message: whether it took it is not known, old connection or not."""
    server = scripted("none", trouble)
    with channel_to(server.url) as channel:
        first = channel.send(mail(1))
        server.stage = "reply"
        second = channel.send(mail(2))

    assert (first.outcome, second.outcome) == ("sent", "unknown")
    assert [json.loads(request.body)["message_id"] for request in server.requests] == ["message-1", "message-2"]


def test_a_server_that_drips_does_not_hold_a_worker(scripted: Any) -> None:
    """Each byte comes in time, the reply as a whole does not."""
    server = scripted("reply", "slices", good=reply(200, b"x" * 1_000))
    server.pause = 0.1
    with channel_to(server.url) as channel:
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.is_channel_down) == ("unknown", True)
    assert "timed out" in receipt.detail


def test_a_reply_of_any_size_is_read_only_so_far(scripted: Any) -> None:
    server = scripted(good=reply(200, b'{"id": "r-1", "x": "' + b"x" * 1_000_000 + b'"}'))
    with channel_to(server.url, timeouts=Timeouts(reply=5)) as channel:
        receipts = [channel.send(mail(number)) for number in range(2)]

    assert [(receipt.outcome, receipt.provider_id) for receipt in receipts] == [("sent", None)] * 2
    assert server.connections == 2, "what was left unread must not become the next reply"


@pytest.mark.parametrize(
    ("body", "provider_id"),
    [
        (b'{"id": "abc"}', "abc"),
        (b'{"id": 17}', "17"),
        (b'{"id": true}', None),
        (b'{"id": null}', None),
        (b'{"id": ["x"]}', None),
        (b'["id"]', None),
        (b'{"id": "a\\u0000b"}', "a?b"),
        (b"", None),
        (b"<html>", None),
        (b"\xff\xfe", None),
        (b'{"id": "' + b"y" * 500 + b'"}', "y" * 200),
        (b"[" * 100_000, None),
    ],
)
def test_the_receivers_id_is_kept_when_there_is_one(body: bytes, provider_id: str | None) -> None:
    with behaving(body=body) as (url, _, _), channel_to(url) as channel:
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.provider_id) == ("sent", provider_id)


def test_a_reply_keeps_no_address_in_the_record(scripted: Any) -> None:
    """Details go into the ledger for ever; addresses are kept where they can be erased."""
    server = scripted("reply", b"HTTP/1.1 422 no such user ADA@customer.example \x07\r\nContent-Length: 0\r\n\r\n")
    with channel_to(server.url) as channel:
        receipt = channel.send(mail())

    assert receipt.detail == "reply: 422 no such user … ?"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (None, "nothing"),
        ("  ", "nothing"),
        ("ftp://hooks.example/x", "another scheme"),
        ("hooks.example/x", "another scheme"),
        ("https:///x", "no host"),
        ("https://user:hunter2@hooks.example/", "a user or password"),
        ("https://hooks.example:port/", "cannot be read"),
        ("https://hooks.example/#x", "a fragment"),
        ("https://hooks.example/a b", "cannot stand in a URL"),
        ("https://höoks.example/", "cannot stand in a URL"),
        ("https://hooks.example/\r\nX: y", "cannot stand in a URL"),
        ("http://hooks.example/hunter2", "http:// to another machine"),
        ("http://127.0.0.1.hooks.example/", "http:// to another machine"),
    ],
)
def test_a_wrong_url_is_one_clear_line_without_the_url(url: str | None, found: str) -> None:
    with pytest.raises(InputError, match=f"^POSTRIDER_WEBHOOK_URL: found {found}|{found}") as error:
        WebhookChannel(url, SECRET)

    assert "\n" not in str(error.value) and "hunter2" not in str(error.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_plain_http_is_for_this_machine_only(host: str) -> None:
    WebhookChannel(f"http://{host}:8080/x", SECRET)


@pytest.mark.parametrize(
    "secret",
    [None, "", "hunter2-hunter2-hunter2", "whsec_not base64!", "whsec_" + base64.b64encode(b"hunter2").decode()],
)
def test_a_weak_secret_is_one_clear_line_without_the_secret(secret: str | None) -> None:
    with pytest.raises(InputError, match=r"^POSTRIDER_WEBHOOK_SECRET: found ") as error:
        WebhookChannel("https://hooks.example/", secret)

    assert "hunter2" not in str(error.value)


def test_a_header_of_two_lines_is_never_written(scripted: Any) -> None:
    """The builder allows no such id; this is what stands between another builder and a smuggled header."""
    server = scripted()
    with channel_to(server.url) as channel, pytest.raises(ValueError, match="more than one line"):
        channel.send(dataclasses.replace(mail(), message_id="a\r\nX: y"))

    assert server.requests == []


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return certificate(tmp_path_factory.mktemp("tls"))


def test_https_keeps_its_connection_and_replaces_a_closed_one(scripted: Any, tls: Any) -> None:
    """The end of a TLS session is a message, not only an end of file: it must be seen before the next mail is written."""
    theirs, ours = tls
    server = scripted(tls=theirs)
    with channel_to(server.url, tls=ours) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(3)]
        connections = server.connections
        server.hang_up()
        outcomes.append(channel.send(mail(4)).outcome)

    assert outcomes == ["sent"] * 4
    assert (connections, server.connections) == (1, 2)
    assert len(server.requests) == 4


@pytest.mark.parametrize(("trouble", "outcome"), AFTER_THE_LAST_BYTE[:6])
def test_over_tls_the_verdicts_are_the_same(scripted: Any, tls: Any, trouble: bytes | str, outcome: str) -> None:
    theirs, ours = tls
    server = scripted("reply", trouble, tls=theirs)
    with channel_to(server.url, tls=ours) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == outcome
    assert len(server.requests) == 1


@pytest.mark.parametrize("trouble", ["drop", "hang"])
def test_over_tls_half_a_request_was_not_sent(scripted: Any, tls: Any, trouble: str) -> None:
    theirs, ours = tls
    server = scripted("head", trouble, tls=theirs)
    with channel_to(server.url, tls=ours) as channel:
        receipt = channel.send(large_mail())

    assert receipt.outcome == "not_sent"
    assert server.requests == []


def test_a_certificate_that_nobody_trusts_is_refused(scripted: Any, tls: Any) -> None:
    server = scripted(tls=tls[0])
    with pytest.raises(InputError, match=r"no trusted TLS with .*self-signed certificate"), channel_to(server.url):
        pass


def test_only_an_idempotent_receiver_may_be_asked_again() -> None:
    """The one who runs the receiver says so; nothing is assumed."""
    unsure = WebhookChannel("https://hooks.example/", SECRET)
    sure = WebhookChannel("https://hooks.example/", SECRET, receiver_is_idempotent=True, key_lifetime=timedelta(days=7))

    assert (unsure.key_lifetime, unsure.in_flight) == (None, 1)
    assert sure.key_lifetime == timedelta(days=7)
    assert (unsure.via("m1").key, sure.via("m1").key) == (None, "m1")


def test_a_conflict_about_a_key_leaves_the_first_attempt_open(scripted: Any) -> None:
    """An idempotent receiver says 409 while it works on the first attempt, which may yet succeed."""
    server = scripted(good=reply(409))
    with channel_to(server.url, receiver_is_idempotent=True) as channel:
        receipt = channel.send(mail())

    assert (receipt.outcome, receipt.is_channel_down) == ("unknown", False)


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        (reply(200), True),
        (reply(400), True),
        (reply(413), True),
        (reply(302), False),
        (reply(401), False),
        (reply(409), False),
        (reply(422), False),
        (reply(429), False),
        (reply(500), False),
    ],
)
def test_a_verdict_on_the_message_holds_for_every_request_under_its_key(
    scripted: Any, answer: bytes, holds: bool
) -> None:
    """401, 302 and 429 come before anybody looks at the key; 409 and 422 say that it is known, and not what came of it."""
    server = scripted(good=answer)
    with channel_to(server.url, receiver_is_idempotent=True) as channel:
        receipt = channel.send(mail())

    assert receipt.holds_for_key == holds


def test_a_refusal_of_half_a_request_says_nothing_of_its_key(scripted: Any) -> None:
    server = scripted("head", reply(413))
    with channel_to(server.url, receiver_is_idempotent=True) as channel:
        receipt = channel.send(large_mail())

    assert (receipt.outcome, receipt.holds_for_key) == ("rejected", False)


def test_a_transport_is_its_url_and_shows_nothing_of_it() -> None:
    """A URL may hold a secret. Another secret of the signature is no other receiver."""
    here, there = "https://hooks.example/in?token=hush-hush", "https://hooks.example/in?token=other"
    vias = [WebhookChannel(url, SECRET, receiver_is_idempotent=True).via("m1") for url in (here, here, there)]

    assert vias[0] == vias[1] != vias[2]
    assert re.fullmatch(r"webhook:[0-9a-f]{8}", vias[0].transport)


def forgetful(*, remembers: bool) -> Forgetful:
    return Forgetful(
        lambda request: request.headers["idempotency-key"],
        lambda key: reply(200, json.dumps({"id": f"r-{key}"}).encode()),
        remembers=remembers,
    )


def repeat_until_sure(receiver: Forgetful, attempts: int) -> list[str]:
    """Send new messages until there were so many ambiguous attempts, each message until it is known to be sent."""
    sent = []
    with Scripted(good=receiver) as server, channel_to(server.url, receiver_is_idempotent=True) as channel:
        assert channel.key_lifetime is not None
        while receiver.ambiguous < attempts:
            built = mail(len(sent))
            receipts = (channel.send(built) for _ in range(MOST_IN_A_ROW))
            receipt = next(receipt for receipt in receipts if receipt.outcome != "unknown")
            assert (receipt.outcome, receipt.provider_id) == ("sent", f"r-{built.message_id}")
            sent.append(built.message_id)
    return sent


def test_ambiguous_attempts_repeated_with_their_key_are_acted_on_once(is_long: bool) -> None:
    """With --long 10,000 of them."""
    attempts = ALL_AMBIGUOUS_RETRIES if is_long else AMBIGUOUS_RETRIES
    receiver = forgetful(remembers=True)

    sent = repeat_until_sure(receiver, attempts)

    assert receiver.ambiguous >= attempts
    assert receiver.acted == dict.fromkeys(sent, 1), "none lost, none twice"


def test_without_keys_the_same_attempts_would_be_acted_on_twice() -> None:
    """The test above can fail: it is the keys that make the difference."""
    receiver = forgetful(remembers=False)

    repeat_until_sure(receiver, AMBIGUOUS_RETRIES)

    assert max(receiver.acted.values()) > 1


def test_every_status_has_an_outcome() -> None:
    """And before the last byte no status claims more than a refusal."""
    whole = {status: outcome_of(status) for status in range(200, 1000)}
    part = {outcome_of(status, was_whole=False) for status in range(200, 1000)}

    assert {status for status, outcome in whole.items() if outcome == "sent"} == set(range(200, 300))
    assert {status for status, outcome in whole.items() if outcome == "deferred"} == {429}
    of_the_asker = {401, 402, 403, 404, 405, 407, 410}
    refused = set(range(300, 500)) - {408, 429} - of_the_asker
    assert {status for status, outcome in whole.items() if outcome == "rejected"} == refused
    assert {status for status, outcome in whole.items() if outcome == "not_sent"} == of_the_asker
    assert part == {"unknown", "rejected", "deferred", "not_sent"}


def test_the_limits_are_those_of_the_scheme() -> None:
    assert (signed_post.MIN_KEY_BYTES, signed_post.MAX_KEY_BYTES) == (24, 64)
    assert http_post.DEFAULT_PORTS == {"http": 80, "https": 443}
