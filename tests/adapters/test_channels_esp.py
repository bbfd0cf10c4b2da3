"""Providers' HTTP APIs against real servers: what each is asked, and what each kind of trouble is called."""

from __future__ import annotations

import base64
import dataclasses
import email
import importlib.util
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from email.header import decode_header, make_header
from email.policy import SMTP
from email.utils import formataddr, parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests as requests_library

from dagster_project.adapters.channels import esp_anymail
from dagster_project.adapters.channels.base import Receipt
from dagster_project.adapters.channels.esp import ESPS, IDEMPOTENCY, EspChannel, Phase, classify, read_esp_settings
from dagster_project.adapters.channels.reading import UnsuitableError
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built, build
from tests.http_server import (
    MORE_THAN_BUFFERS_HOLD,
    PATIENCE,
    Forgetful,
    Request,
    Scripted,
    certificate,
    free_port,
    reply,
)

AMBIGUOUS_RETRIES = 300  # without --long
ALL_AMBIGUOUS_RETRIES = 10_000
MOST_IN_A_ROW = 200  # that many ambiguous attempts of one message would take 10^24 of them
KEY = "key-0123456789abcdef"
ADA = "ada@customer.example"
UNSUBSCRIBE = "https://mail.ledgerline.example/u/1"
HAS_BOTO = importlib.util.find_spec("boto3") is not None


def mail(number: int = 1, **changes: Any) -> Built:
    arguments: dict[str, Any] = {
        "sender": "Ledgerline <hello@ledgerline.example>",
        "to_address": ADA,
        "subject": "Grüße, Ada",
        "html": "<p>Grüße</p>\n",
        "text": "Grüße\n.\nZeile\n",
        "unsubscribe_url": UNSUBSCRIBE,
        "date": datetime.fromisoformat("2026-11-21T09:00:00"),
        "sending_domain": "ledgerline.example",
    }
    return build(f"message-{number}", **(arguments | changes))


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a provider was asked, in one form for all."""

    sender: tuple[str, str]
    recipient: str
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]
    message_id: str


def pair(entry: Mapping[str, str]) -> tuple[str, str]:
    """(name, address) of an object, however its fields are written."""
    fields = {name.lower(): value for name, value in entry.items()}
    return fields.get("name", ""), fields["email"]


def named(entries: list[Mapping[str, str]], name: str, value: str) -> dict[str, str]:
    return {entry[name]: entry[value] for entry in entries}


def seen_by_resend(request: Request) -> Seen:
    data = json.loads(request.body)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    headers = data["headers"]
    message_id = json.loads(headers.pop("X-Metadata"))["message_id"]
    return Seen(
        parseaddr(data["from"]), data["to"][0], data["subject"], data["text"], data["html"], headers, message_id
    )


def seen_by_brevo(request: Request) -> Seen:
    data = json.loads(request.body)
    assert request.headers["api-key"] == KEY
    headers = data["headers"]
    message_id = json.loads(headers.pop("X-Mailin-custom"))["message_id"]
    assert uuid.UUID(headers.pop("idempotencyKey")).version == 5
    text, html = data["textContent"], data["htmlContent"]
    name, address = pair(data["sender"])  # anymail encodes what Brevo would lose: not ASCII and with a comma
    sender = str(make_header(decode_header(name))), address
    return Seen(sender, data["to"][0]["email"], data["subject"], text, html, headers, message_id)


def seen_by_postmark(request: Request) -> Seen:
    data = json.loads(request.body)
    assert request.headers["x-postmark-server-token"] == KEY
    headers = named(data["Headers"], "Name", "Value")
    assert headers.pop("X-PM-KeepID") == "true"
    text, html, message_id = data["TextBody"], data["HtmlBody"], data["Metadata"]["message_id"]
    return Seen(parseaddr(data["From"]), data["To"], data["Subject"], text, html, headers, message_id)


def seen_by_sendgrid(request: Request) -> Seen:
    data = json.loads(request.body)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    (person,) = data["personalizations"]
    content = named(data["content"], "type", "value")
    return Seen(
        pair(data["from"]),
        person["to"][0]["email"],
        data["subject"],
        content["text/plain"],
        content["text/html"],
        data["headers"],
        data["custom_args"]["message_id"],
    )


def seen_by_mailgun(request: Request) -> Seen:
    data = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"api:{KEY}"
    headers = {name[2:]: value for name, value in data.items() if name.startswith("h:")}
    return Seen(
        parseaddr(data["from"]),
        data["to"],
        data["subject"],
        data["text"],
        data["html"],
        {name.replace("Id", "ID"): value for name, value in headers.items()},
        data["v:message_id"],
    )


def seen_by_mailjet(request: Request) -> Seen:
    data = json.loads(request.body)["Globals"]
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"{KEY}:{KEY}"
    recipient = json.loads(request.body)["Messages"][0]["To"][0]["Email"]
    message_id = json.loads(data["EventPayload"])["message_id"]
    return Seen(
        pair(data["From"]), recipient, data["Subject"], data["TextPart"], data["HTMLPart"], data["Headers"], message_id
    )


def seen_by_mailersend(request: Request) -> Seen:
    """It writes both headers itself from the link, so they are put back here; it has tags instead of metadata."""
    data = json.loads(request.body)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "headers" not in data, "any header costs a larger plan"
    headers = {
        "List-Unsubscribe": f"<{data['list_unsubscribe']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return Seen(
        pair(data["from"]),
        data["to"][0]["email"],
        data["subject"],
        data["text"],
        data["html"],
        headers,
        data["tags"][0],
    )


def seen_by_sparkpost(request: Request) -> Seen:
    data = json.loads(request.body)
    assert request.headers["authorization"] == KEY
    content = data["content"]
    return Seen(
        parseaddr(content["from"]),
        data["recipients"][0]["address"]["email"],
        content["subject"],
        content["text"],
        content["html"],
        content["headers"],
        data["metadata"]["message_id"],
    )


def seen_by_scaleway(request: Request) -> Seen:
    data = json.loads(request.body)
    assert (request.headers["x-auth-token"], data["project_id"]) == (KEY, KEY)
    headers = named(data["additional_headers"], "key", "value")
    message_id = json.loads(headers.pop("X-Metadata"))["message_id"]
    return Seen(
        pair(data["from"]), data["to"][0]["email"], data["subject"], data["text"], data["html"], headers, message_id
    )


def seen_by_mandrill(request: Request) -> Seen:
    data = json.loads(request.body)
    assert data["key"] == KEY
    message = data["message"]
    return Seen(
        (message["from_name"], message["from_email"]),
        message["to"][0]["email"],
        message["subject"],
        message["text"],
        message["html"],
        message["headers"],
        message["metadata"]["message_id"],
    )


def seen_by_amazon_ses(request: Request) -> Seen:
    data = json.loads(request.body)
    (recipient,) = data["Destination"]["ToAddresses"]
    message = email.message_from_bytes(base64.b64decode(data["Content"]["Raw"]["Data"]), policy=SMTP)
    plain, rich = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None and rich is not None
    ours = {"List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted"}
    name, address = parseaddr("".join(dict(message.raw_items())["From"].splitlines()))
    return Seen(
        (str(make_header(decode_header(name))), address),  # the new parser puts a space between two encoded words
        recipient,
        str(message["Subject"]).strip(),  # Django folds before a long first word
        plain.get_content().replace("\r\n", "\n"),
        rich.get_content().replace("\r\n", "\n"),
        {name: "".join(str(value).split()) for name, value in message.items() if name in ours},
        json.loads(message["X-Metadata"])["message_id"],
    )


@dataclasses.dataclass(frozen=True)
class Provider:
    """How one provider looks from here: what it needs, where it is asked, and what it says when it accepts."""

    settings: Mapping[str, str]
    target: str
    accepts: bytes
    provider_id: str | None
    seen: Callable[[Request], Seen]
    needs_to_be_understood: bool = True  # or a 2xx alone is a yes


def ok(content: Any, status: int = 200) -> bytes:
    return reply(status, json.dumps(content).encode())


API_KEY = {"api_key": KEY}
PROVIDERS = {
    "brevo": Provider(API_KEY, "/api/smtp/email", ok({"messageId": "<b-1@x>"}, 201), "<b-1@x>", seen_by_brevo),
    "mailersend": Provider(
        {"api_token": KEY},
        "/api/email",
        b"HTTP/1.1 202 OK\r\nContent-Type: text/html\r\nX-Message-Id: ms-1\r\nContent-Length: 0\r\n\r\n",
        "ms-1",
        seen_by_mailersend,
    ),
    "mailgun": Provider(
        API_KEY,
        "/api/ledgerline.example/messages",
        ok({"id": "<mg-1@x>", "message": "Queued. Thank you."}),
        "<mg-1@x>",
        seen_by_mailgun,
    ),
    "mailjet": Provider(
        {"api_key": KEY, "secret_key": KEY},
        "/api/send",
        ok({"Messages": [{"Status": "success", "To": [{"Email": ADA, "MessageID": 42}]}]}),
        "42",
        seen_by_mailjet,
    ),
    "mandrill": Provider(
        API_KEY,
        "/api/messages/send.json",
        ok([{"email": ADA, "status": "sent", "_id": "md-1"}]),
        "md-1",
        seen_by_mandrill,
    ),
    "postmark": Provider(
        {"server_token": KEY},
        "/api/email",
        ok({"ErrorCode": 0, "Message": "OK", "MessageID": "pm-1", "To": ADA}),
        "pm-1",
        seen_by_postmark,
    ),
    "resend": Provider(API_KEY, "/api/emails", ok({"id": "re-1"}), "re-1", seen_by_resend),
    "scaleway": Provider(
        {"secret_key": KEY, "project_id": KEY},
        "/api/emails",
        ok({"emails": [{"id": "sc-1", "mail_rcpt": ADA, "status": "new"}]}),
        "sc-1",
        seen_by_scaleway,
    ),
    "sendgrid": Provider(API_KEY, "/api/mail/send", reply(202), None, seen_by_sendgrid, needs_to_be_understood=False),
    "sparkpost": Provider(
        API_KEY,
        "/api/transmissions/",
        ok({"results": {"total_rejected_recipients": 0, "total_accepted_recipients": 1, "id": "sp-1"}}),
        "sp-1",
        seen_by_sparkpost,
    ),
}
if HAS_BOTO:
    PROVIDERS["amazon_ses"] = Provider(
        {"region_name": "eu-central-1", "aws_access_key_id": KEY, "aws_secret_access_key": KEY},
        "/v2/email/outbound-emails",
        ok({"MessageId": "ses-1"}),
        "ses-1",
        seen_by_amazon_ses,
    )
BY_REQUESTS = [name for name in PROVIDERS if name != "amazon_ses"]


def channel_to(esp: str, url: str, **options: Any) -> EspChannel:
    address = url.removesuffix("/hook") + ("" if esp == "amazon_ses" else "/api")
    return EspChannel(esp, PROVIDERS[esp].settings, api_url=address, **{"timeouts": PATIENCE, **options})


def once(esp: str, answer: bytes | str, built: Built | None = None) -> tuple[Receipt, list[Request]]:
    """What comes of one message when the provider answers so, and what it was asked."""
    with Scripted(
        "none" if isinstance(answer, bytes) else "reply", answer, good=answer if isinstance(answer, bytes) else b""
    ) as server:
        with channel_to(esp, server.url) as channel:
            receipt = channel.send(built or mail())
        return receipt, server.requests


@pytest.fixture
def scripted() -> Iterator[Any]:
    servers: list[Scripted] = []

    def start(*arguments: Any, **options: Any) -> Scripted:
        servers.append(Scripted(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("esp", PROVIDERS)
def test_each_provider_is_asked_for_the_message_as_it_was_built(esp: str) -> None:
    provider = PROVIDERS[esp]

    receipt, requests = once(esp, provider.accepts)

    (request,) = requests
    assert request.target == provider.target
    expected = {
        "List-Unsubscribe": f"<{UNSUBSCRIBE}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    if ESPS[esp].keeps_message_id:
        expected["Message-ID"] = mail().header_message_id
    assert provider.seen(request) == Seen(
        ("Ledgerline", "hello@ledgerline.example"),
        ADA,
        "Grüße, Ada",
        "Grüße\n.\nZeile\n",
        "<p>Grüße</p>\n",
        expected,
        "message-1",
    )
    assert (receipt.outcome, receipt.is_channel_down) == ("sent", False)
    assert receipt.provider_id == provider.provider_id or (esp == "sendgrid" and uuid.UUID(receipt.provider_id or ""))


NAMES = ['Grüße, "Ada" \\ Söhne', "Ada (Sales)", "O'Neil & Co; <x>", "名前" * 10, "a@b.example", "Ledgerline"]


@pytest.mark.parametrize("esp", PROVIDERS)
@pytest.mark.parametrize("name", NAMES)
def test_names_and_addresses_reach_the_provider_as_they_were_meant(esp: str, name: str) -> None:
    """No provider and no library reads a name as an address, or an address as another."""
    sender = formataddr((name, "hello@ledgerline.example")) if name.isascii() else f"{name} <hello@ledgerline.example>"
    if "<" in name:
        sender = "Ledgerline <hello@ledgerline.example>"
    address = "a!#$%&'*+-/^_`{|}~b@Customer.example"
    transactional = mail(sender=sender, to_address=address, unsubscribe_url=None, subject=name, text=f"{name}\n")
    head, _, body = PROVIDERS[esp].accepts.partition(b"\r\n\r\n")
    body = body.replace(ADA.encode(), b"")
    answer = re.sub(rb"(?i)(content-length: )\d+", rb"\g<1>%d" % len(body), head) + b"\r\n\r\n" + body

    receipt, requests = once(esp, answer, transactional)

    if esp == "mailersend":
        data = json.loads(requests[0].body)
        assert "list_unsubscribe" not in data
        seen = (pair(data["from"]), data["to"][0]["email"], data["subject"])
    else:
        full = PROVIDERS[esp].seen(requests[0])
        seen = (full.sender, full.recipient, full.subject)
        assert not any(header.startswith("List-") for header in full.headers)
    expected = "Ledgerline" if "<" in name else name
    assert seen == ((expected, "hello@ledgerline.example"), address, name)
    assert receipt.outcome in {"sent", "unknown"}


STATUSES = [
    (301, "rejected", True),
    (307, "rejected", True),
    (400, "rejected", False),
    (401, "not_sent", True),
    (403, "not_sent", True),
    (408, "unknown", False),
    (413, "rejected", False),
    (422, "rejected", False),
    (429, "deferred", True),
    (500, "unknown", True),
    (503, "unknown", True),
]


@pytest.mark.parametrize("esp", PROVIDERS)
@pytest.mark.parametrize(("status", "outcome", "is_channel_down"), STATUSES)
@pytest.mark.parametrize("body", [b"", b'{"message": "no"}', b'{"message": "n'], ids=["empty", "json", "cut"])
def test_a_status_is_the_verdict(esp: str, status: int, outcome: str, is_channel_down: bool, body: bytes) -> None:
    """Whatever anymail makes of the body. A redirect is never followed: it would carry the key elsewhere."""
    with Scripted() as elsewhere:
        receipt, requests = once(esp, reply(status, body, f"Location: {elsewhere.url}"))

        assert elsewhere.requests == []
    assert (receipt.outcome, receipt.is_channel_down) == (outcome, is_channel_down)
    assert receipt.detail.startswith(f"reply: {status} ")
    assert len(requests) == 1, "nothing is tried twice"


@pytest.mark.parametrize("esp", PROVIDERS)
@pytest.mark.parametrize("trouble", ["drop", "reset", "hang", "half", b"nonsense\r\n\r\n"])
def test_after_the_last_byte_no_reply_means_unknown(esp: str, trouble: bytes | str) -> None:
    receipt, requests = once(esp, trouble)

    assert (receipt.outcome, receipt.is_channel_down) == ("unknown", True)
    assert len(requests) == 1, "an ambiguous send is never repeated"


@pytest.mark.parametrize("esp", BY_REQUESTS)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n" + b'{"id": "re',
        reply(200, b"<html>Welcome</html>"),
        reply(200, b"[1, 2]"),
        reply(200, b"17"),
        reply(200, b"{}"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["cut", "html", "list", "number", "object", "empty"],
)
def test_accepted_in_words_nobody_understands_is_unknown(esp: str, answer: bytes) -> None:
    """A page of a proxy says 200 as well. Whoever answers with a 2xx and nothing else by design is believed."""
    receipt, requests = once(esp, answer)

    is_empty = answer.endswith(b"Content-Length: 0\r\n\r\n")
    is_by_design = (esp == "sendgrid" and not answer.endswith(b'"re')) or (esp == "brevo" and is_empty)
    assert receipt.outcome == ("sent" if is_by_design else "unknown")
    assert len(requests) == 1


@pytest.mark.parametrize("esp", BY_REQUESTS)
@pytest.mark.parametrize("length", ["Content-Length: 99", "Transfer-Encoding: chunked"])
def test_a_body_that_never_came_is_not_an_empty_one(scripted: Any, esp: str, length: str) -> None:
    """Some providers say yes with nothing at all, and others would have said why not."""
    server = scripted("reply", f"HTTP/1.1 201 Created\r\n{length}\r\n\r\n".encode())
    with channel_to(esp, server.url) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == "unknown"


@pytest.mark.parametrize("esp", BY_REQUESTS)
def test_a_reply_in_slices_is_read_whole(scripted: Any, esp: str) -> None:
    server = scripted("reply", "slices", good=PROVIDERS[esp].accepts)
    server.pause = 0.0002
    with channel_to(esp, server.url) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == "sent"


@pytest.mark.parametrize("stage", ["connect", "head", "body"])
@pytest.mark.parametrize("trouble", ["drop", "reset", "hang"])
def test_what_fails_before_the_last_byte_was_not_sent(scripted: Any, stage: str, trouble: str) -> None:
    """A provider without the whole request cannot act on it."""
    server = scripted("none", trouble, good=PROVIDERS["postmark"].accepts)
    with channel_to("postmark", server.url) as channel:
        first = channel.send(mail(1))
        server.hang_up()
        server.stage = stage
        second = channel.send(mail(2, text="x" * 70 + "\n" + ("y" * 70 + "\n") * (MORE_THAN_BUFFERS_HOLD // 71)))
        server.stage = "none"
        third = channel.send(mail(3))

    assert [first.outcome, second.outcome, third.outcome] == ["sent", "not_sent", "sent"]
    assert second.detail.startswith("write: ")
    assert len(server.requests) == 2


def test_a_provider_gone_in_mid_run_leaves_the_message_unsent(scripted: Any) -> None:
    server = scripted(good=PROVIDERS["resend"].accepts)
    with channel_to("resend", server.url) as channel:
        assert channel.send(mail(1)).outcome == "sent"
        server.close()
        receipt = channel.send(mail(2))

    assert (receipt.outcome, receipt.is_channel_down) == ("not_sent", True)
    assert receipt.detail.startswith("connect: no server answers at 127.0.0.1")


@pytest.mark.parametrize("esp", BY_REQUESTS)
def test_many_messages_share_one_connection_and_a_closed_one_is_replaced(scripted: Any, esp: str) -> None:
    server = scripted(good=PROVIDERS[esp].accepts)
    with channel_to(esp, server.url) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(5)]
        assert server.connections == 1
        server.hang_up()
        outcomes.append(channel.send(mail(5)).outcome)

    assert outcomes == ["sent"] * 6
    assert (server.connections, len(server.requests)) == (2, 6)


def test_a_message_is_taken_only_when_its_turn_has_come(scripted: Any) -> None:
    """Whoever gives them can stop at any of them: what was not taken is not sent."""
    server = scripted(good=PROVIDERS["resend"].accepts)
    waiting = iter([mail(number) for number in range(3)])
    with channel_to("resend", server.url) as channel:
        built, receipt = next(iter(channel.transmit(waiting)))

    assert (built.message_id, receipt.outcome) == ("message-0", "sent")
    assert [left.message_id for left in waiting] == ["message-1", "message-2"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("esp", BY_REQUESTS)
def test_no_provider_in_reach_is_one_clear_line(esp: str) -> None:
    port = free_port()

    with (
        pytest.raises(
            InputError, match=rf"^POSTRIDER_ESP: {esp}: .*127\.0\.0\.1:{port} \(connection refused\)"
        ) as error,
        channel_to(esp, f"http://127.0.0.1:{port}/hook"),
    ):
        pass

    assert KEY not in str(error.value) and "\n" not in str(error.value)


REFUSALS = [
    (
        "postmark",
        reply(
            422,
            b'{"ErrorCode": 406, "Message": "Found inactive addresses: %s. Inactive recipients are"}' % ADA.encode(),
        ),
        "rejected",
        False,
    ),
    (
        "postmark",
        reply(422, b'{"ErrorCode": 300, "Message": "Invalid \'To\' address: \'%s\'."}' % ADA.encode()),
        "rejected",
        False,
    ),
    (
        "postmark",
        ok(
            {
                "ErrorCode": 0,
                "Message": f"Message OK, but will not deliver to these inactive addresses: {ADA}. Inactive recipients are",
                "MessageID": "x",
                "To": ADA,
            }
        ),
        "rejected",
        False,
    ),
    ("mailjet", ok({"Messages": [{"Status": "error", "Errors": [{"ErrorCode": "mj-0013"}]}]}, 400), "rejected", False),
    ("mailjet", ok({"Messages": [{"Status": "error", "Errors": [{"ErrorCode": "mj-0013"}]}]}), "unknown", False),
    (
        "mailjet",
        ok({"Messages": [{"Status": "success", "To": [{"Email": ADA.upper(), "MessageID": 42}]}]}),
        "sent",
        False,
    ),
    (
        "mailersend",
        ok(
            {"warnings": [{"type": "ALL_SUPPRESSED", "recipients": [{"email": ADA, "reasons": ["unsubscribed"]}]}]}, 202
        ),
        "rejected",
        False,
    ),
    ("mandrill", ok([{"email": ADA, "status": "rejected", "reject_reason": "hard-bounce"}]), "rejected", False),
    ("mandrill", ok([{"email": ADA, "status": "invalid", "_id": "x"}]), "rejected", False),
    ("mandrill", ok([{"email": ADA, "status": "queued", "_id": "x"}]), "sent", False),
    ("mandrill", ok([{"email": ADA, "status": "scheduled", "_id": "x"}]), "unknown", False),
    ("mandrill", ok([]), "unknown", False),
    ("mandrill", ok({"status": "error", "code": -1, "name": "Invalid_Key"}, 500), "rejected", True),
    ("mandrill", ok({"status": "error", "code": -2, "name": "ValidationError"}, 500), "rejected", False),
    ("mandrill", ok({"status": "error", "code": -99, "name": "GeneralError"}, 500), "unknown", True),
    ("mandrill", ok({"status": "error", "name": ["Invalid_Key"]}, 500), "unknown", True),
    (
        "sparkpost",
        ok({"results": {"total_rejected_recipients": 1, "total_accepted_recipients": 0, "id": "x"}}),
        "rejected",
        False,
    ),
    (
        "sparkpost",
        ok({"results": {"total_rejected_recipients": 1, "total_accepted_recipients": 1, "id": "x"}}),
        "unknown",
        False,
    ),
    ("scaleway", ok({"emails": [{"id": "x", "mail_rcpt": ADA, "status": "failed"}]}), "unknown", False),
    ("scaleway", ok({"emails": [{"id": "x", "mail_rcpt": ADA, "status": "odd"}]}), "unknown", False),
    ("mailgun", reply(200, b"Mailgun Magnificent API"), "unknown", False),
    ("mailgun", reply(404, b'{"message": "Domain not found: ledgerline.example"}'), "not_sent", True),
    ("resend", ok({"name": "concurrent_idempotent_requests"}, 409), "unknown", False),
    ("resend", ok({"name": "invalid_idempotent_request"}, 409), "unknown", False),
    ("brevo", ok({"code": "duplicate_parameter", "message": "idempotency key taken"}, 400), "unknown", False),
    ("brevo", ok({"code": "invalid_parameter", "message": "email is not valid in to"}, 400), "rejected", False),
    ("brevo", ok(["duplicate_parameter"], 400), "rejected", False),
]


@pytest.mark.parametrize(
    ("esp", "answer", "outcome", "is_channel_down"),
    REFUSALS,
    ids=[f"{row[0]}-{number}" for number, row in enumerate(REFUSALS)],
)
def test_each_provider_has_its_own_way_of_refusing(
    esp: str, answer: bytes, outcome: str, is_channel_down: bool
) -> None:
    """Some say so with a 2xx, Mandrill with a 500; a key known already means that an earlier attempt arrived."""
    receipt, _ = once(esp, answer)

    assert (receipt.outcome, receipt.is_channel_down) == (outcome, is_channel_down)
    assert "@" not in receipt.detail, "details are kept for ever; addresses are kept where they can be erased"


@pytest.mark.parametrize(
    "echo", [ADA, ADA.upper(), "ada%40customer.example", "Ada <ada@customer.example>", f"key {KEY} for x", KEY.upper()]
)
def test_a_refusal_keeps_the_reason_and_neither_address_nor_key(echo: str) -> None:
    receipt, _ = once("resend", ok({"name": "validation_error", "message": f"bad: {echo}\n!"}, 422))

    assert receipt.detail.startswith('reply: 422 Words {"name":"validation_error"')
    assert "customer.example" not in receipt.detail.lower()
    assert KEY.lower() not in receipt.detail.lower()
    assert len(receipt.detail) <= 200 and receipt.detail.isprintable()


@pytest.mark.parametrize(
    ("esp", "mark"), [(esp, mark) for esp, entry in ESPS.items() if esp in PROVIDERS for mark in entry.fills_in]
)
@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_what_a_provider_would_fill_in_is_not_sent_there(scripted: Any, esp: str, mark: str, part: str) -> None:
    """A person called {{name}} would change a mail that was approved: it would arrive other than it was read."""
    server = scripted()
    with channel_to(esp, server.url) as channel:
        receipt = channel.send(mail(1, **{part: f"Hello {mark}name"}))

    assert (receipt.outcome, receipt.detail) == ("rejected", f"build: holds {mark}, which {esp} would fill in")
    assert server.requests == []


def test_an_address_that_the_library_reads_otherwise_is_not_sent(scripted: Any) -> None:
    """The builder makes no such envelope; this is what stands between another builder and a second recipient."""
    server = scripted()
    with channel_to("resend", server.url) as channel:
        receipts = [
            channel.send(dataclasses.replace(mail(), rcpt_to=address))
            for address in ("ada@customer.example, eve@other.example", "Ada <ada@customer.example>", "no address", "")
        ]

    assert {receipt.outcome for receipt in receipts} == {"rejected"}
    assert server.requests == []


def test_what_is_no_message_of_ours_is_refused(scripted: Any) -> None:
    server = scripted()
    with channel_to("resend", server.url) as channel:
        receipt = channel.send(dataclasses.replace(mail(), raw=b"Subject: x\r\n\r\nno parts\r\n"))

    assert (receipt.outcome, receipt.detail) == ("rejected", "build: no From, no text or no HTML part")
    assert server.requests == []


def test_what_a_provider_cannot_carry_is_refused(scripted: Any) -> None:
    """Anymail knows that Brevo breaks such headers and says so before anything is written."""
    server = scripted()
    with channel_to("brevo", server.url) as channel:
        built = mail(extra={"X-Note": "plain \\u00fc"})
        receipt = channel.send(built)

    assert (receipt.outcome, receipt.is_channel_down) == ("rejected", False)
    assert receipt.detail.startswith("build: Brevo does not support non-ASCII characters")
    assert server.requests == []


def test_the_environment_changes_neither_key_nor_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scripted: Any
) -> None:
    """`requests` by itself takes proxies from the environment and passwords from .netrc, in place of the key."""
    elsewhere, server = scripted(), scripted(good=PROVIDERS["resend"].accepts)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password wrong\ndefault login eve password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, elsewhere.url)

    with channel_to("resend", server.url) as channel:
        receipt = channel.send(mail())

    assert receipt.outcome == "sent"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert (elsewhere.connections, len(server.requests)) == (0, 1)


def test_one_message_is_one_request_whatever_the_library_would_like(scripted: Any) -> None:
    server = scripted(good=PROVIDERS["resend"].accepts)
    with channel_to("resend", server.url) as channel:
        assert channel.send(mail()).outcome == "sent"
        session: requests_library.Session = channel._mailer._backend.session  # pyright: ignore
        with pytest.raises(requests_library.RequestException, match="one message is one POST"):
            session.post(f"{server.url}/again", data=b"x")
        assert session.max_redirects == 0
        assert {type(adapter) for adapter in session.adapters.values()} == {esp_anymail._OnePost}

    assert len(server.requests) == 1


def test_over_tls_a_stranger_is_refused_and_a_trusted_one_is_not(scripted: Any, tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path)
    server = scripted(good=PROVIDERS["resend"].accepts, tls=theirs)

    with channel_to("resend", server.url, tls=ours) as channel:
        outcomes = [channel.send(mail(number)).outcome for number in range(3)]
    with pytest.raises(InputError, match="no trusted TLS with"), channel_to("resend", server.url):
        pass

    assert outcomes == ["sent"] * 3
    assert len(server.requests) == 3


CLASSES: list[tuple[Exception | None, Phase, int | None, str]] = [
    (None, "reply", 200, "sent"),
    (KeyError("id"), "reply", 200, "unknown"),
    (ValueError(), "reply", 422, "rejected"),
    (ValueError(), "reply", 429, "deferred"),
    (ValueError(), "reply", 301, "rejected"),
    (ValueError(), "reply", 500, "unknown"),
    (requests_library.ConnectTimeout(), "write", None, "not_sent"),
    (requests_library.ConnectionError(), "write", None, "not_sent"),
    (requests_library.ReadTimeout(), "reply", None, "unknown"),
    (requests_library.ConnectionError("Connection aborted"), "reply", None, "unknown"),
    (UnsuitableError("x"), "build", None, "rejected"),
    (TypeError(), "build", None, "not_sent"),
]


@pytest.mark.parametrize(("error", "phase", "status", "outcome"), CLASSES)
def test_phase_and_status_decide_not_the_kind_of_exception(
    error: Exception | None, phase: Phase, status: int | None, outcome: str
) -> None:
    """`requests` uses one exception for a connection that was refused and for one that died after the request."""
    assert classify(error, phase, status) == outcome


@pytest.mark.parametrize("esp", PROVIDERS)
def test_only_providers_that_document_keys_may_be_asked_again(esp: str) -> None:
    channel = channel_to(esp, "http://127.0.0.1:1/hook")

    assert channel.key_lifetime == {"resend": timedelta(hours=24), "brevo": timedelta(minutes=15)}.get(esp)
    assert channel.key_lifetime == IDEMPOTENCY.get(esp)
    assert (channel.name, channel.in_flight) == (esp, 1)


def test_another_account_url_or_provider_is_another_transport() -> None:
    """Keys are known per account. What stands in the ledger is too short to find the account's key by."""
    resend = [
        EspChannel("resend", {"api_key": KEY}),
        EspChannel("resend", {"api_key": KEY}),
        EspChannel("resend", {"api_key": KEY[::-1]}),
        EspChannel("resend", {"api_key": KEY}, api_url="https://eu.resend.example/"),
        EspChannel("brevo", {"api_key": KEY}),
        EspChannel("postmark", {"server_token": KEY}),
    ]
    vias = [channel.via("m1") for channel in resend]

    assert vias[0] == vias[1]
    assert len({via.transport for via in vias}) == 5
    assert re.fullmatch(r"resend:[0-9a-f]{8}", vias[0].transport)
    assert [via.key for via in vias] == ["m1", "m1", "m1", "m1", "68185c83-f75d-5efb-8a0e-f9505177176c", None]


@pytest.mark.parametrize("esp", IDEMPOTENCY)
def test_the_recorded_key_is_the_one_that_is_sent(esp: str) -> None:
    _, (request,) = once(esp, PROVIDERS[esp].accepts)
    key = key_of_resend(request) if esp == "resend" else key_of_brevo(request)

    assert channel_to(esp, "http://127.0.0.1:1/hook").via(mail().message_id).key == key


@pytest.mark.parametrize(
    ("esp", "answer", "outcome", "holds"),
    [
        ("resend", PROVIDERS["resend"].accepts, "sent", True),
        ("resend", reply(422, b'{"name": "invalid_from_address"}'), "rejected", True),
        ("resend", reply(409, b'{"name": "concurrent_idempotent_requests"}'), "unknown", False),
        ("resend", reply(409, b'{"name": "invalid_idempotent_request"}'), "unknown", False),
        ("resend", reply(401), "not_sent", False),
        ("resend", reply(301), "rejected", False),
        ("brevo", PROVIDERS["brevo"].accepts, "sent", True),
        ("brevo", reply(400, b'{"code": "invalid_parameter"}'), "rejected", True),
        ("brevo", reply(400, b'{"code": "duplicate_parameter"}'), "unknown", False),
    ],
)
def test_a_verdict_on_the_message_holds_for_every_request_under_its_key(
    esp: str, answer: bytes, outcome: str, holds: bool
) -> None:
    """That a key is known says that an earlier request arrived, and not what came of it."""
    receipt, _ = once(esp, answer)

    assert (receipt.outcome, receipt.holds_for_key) == (outcome, holds)


def test_what_a_provider_can_never_carry_says_nothing_of_its_key() -> None:
    receipt, requests = once("brevo", PROVIDERS["brevo"].accepts, mail(subject="Hello {{ name }}"))

    assert (receipt.outcome, receipt.holds_for_key, requests) == ("rejected", False, [])


def key_of_resend(request: Request) -> str:
    return request.headers["idempotency-key"]


def key_of_brevo(request: Request) -> str:
    return str(json.loads(request.body)["headers"]["idempotencyKey"])


def repeat_until_sure(esp: str, provider: Forgetful, attempts: int) -> int:
    """Send new messages until there were so many ambiguous attempts, each until it is known to have arrived."""
    number = 0
    with Scripted(good=provider) as server, channel_to(esp, server.url) as channel:
        while provider.ambiguous < attempts:
            built = mail(number)
            receipts = (channel.send(built) for _ in range(MOST_IN_A_ROW))
            arrived = (one for one in receipts if one.outcome != "unknown" or "duplicate" in one.detail)
            receipt = next(arrived)
            assert receipt.outcome == "sent" or "duplicate" in receipt.detail
            number += 1
    return number


@pytest.mark.parametrize("esp", IDEMPOTENCY)
def test_ambiguous_attempts_repeated_with_their_key_are_sent_once(esp: str, is_long: bool) -> None:
    """Resend repeats its first answer, Brevo says that it knows the key. With --long 10,000 times each."""
    attempts = ALL_AMBIGUOUS_RETRIES if is_long else AMBIGUOUS_RETRIES
    accepts = PROVIDERS[esp].accepts
    provider = (
        Forgetful(key_of_resend, lambda _: accepts)
        if esp == "resend"
        else Forgetful(key_of_brevo, lambda _: accepts, again=lambda _: ok({"code": "duplicate_parameter"}, 400))
    )

    messages = repeat_until_sure(esp, provider, attempts)

    assert provider.ambiguous >= attempts
    assert len(provider.acted) == messages and set(provider.acted.values()) == {1}, "none lost, none twice"


def test_without_keys_the_same_attempts_would_be_sent_twice() -> None:
    """The test above can fail: it is the keys that make the difference."""
    provider = Forgetful(key_of_resend, lambda _: PROVIDERS["resend"].accepts, remembers=False)

    repeat_until_sure("resend", provider, AMBIGUOUS_RETRIES)

    assert max(provider.acted.values()) > 1


@pytest.mark.parametrize("esp", PROVIDERS)
def test_the_same_message_is_asked_for_in_the_same_words(esp: str) -> None:
    """Providers answer a known key with other content by an error. Only SendGrid's own id differs; it has no keys."""
    again = mail(date=datetime.fromisoformat("2026-11-22T10:00:00"))
    if esp == "amazon_ses":
        return
    bodies = [once(esp, PROVIDERS[esp].accepts, built)[1][0].body for built in (mail(), again)]

    words = [re.sub(rb"[0-9a-f-]{36}", b"", body) if esp == "sendgrid" else body for body in bodies]
    assert words[0] == words[1]


@pytest.mark.parametrize(
    ("esp", "settings", "found"),
    [
        ("pigeon", {}, "POSTRIDER_ESP: found 'pigeon'; allowed: brevo, mailersend, mailgun"),
        ("resend", {}, "POSTRIDER_ESP_SETTINGS: found no api_key, and the ESP is resend; allowed: api_key"),
        ("resend", {"api_key": " "}, "POSTRIDER_ESP_SETTINGS: found no api_key"),
        ("mailjet", {"api_key": KEY}, "POSTRIDER_ESP_SETTINGS: found no secret_key, and the ESP is mailjet"),
        ("resend", {"api_key": KEY, "token": KEY}, "POSTRIDER_ESP_SETTINGS: found 'token', and the ESP is resend"),
        (
            "postmark",
            {},
            "POSTRIDER_ESP_SETTINGS: found no server_token, .*allowed: server_token, \\[message_stream\\]",
        ),
    ],
)
def test_wrong_settings_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, esp: str, settings: dict[str, str], found: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "boto3" else name)
    with pytest.raises(InputError, match=f"^{found}") as error:
        EspChannel(esp, settings)

    assert KEY not in str(error.value) and "amazon_ses" not in str(error.value)


@pytest.mark.parametrize("library", ["boto3", "anymail"])
def test_a_missing_library_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else name)
    name = {"boto3": "boto3", "anymail": "django-anymail"}[library]

    with pytest.raises(InputError, match=f"^POSTRIDER_ESP: found 'amazon_ses', and {name} is not installed; allowed: "):
        EspChannel("amazon_ses", {"region_name": "eu-central-1"})


@pytest.mark.parametrize(
    ("url", "found"), [("http://api.example/", "http:// to another machine"), ("ftp://x/", "another scheme")]
)
def test_a_wrong_address_is_one_clear_line(url: str, found: str) -> None:
    with pytest.raises(InputError, match=f"^POSTRIDER_ESP_URL: found {found}"):
        EspChannel("resend", API_KEY, api_url=url)


@pytest.mark.parametrize("esp", BY_REQUESTS)
def test_without_an_address_of_ones_own_it_is_the_providers_over_https(
    monkeypatch: pytest.MonkeyPatch, esp: str
) -> None:
    """Nothing is connected here: the address is looked at where the connection would be made."""
    asked: list[Any] = []

    class NoPoster:
        def __init__(self, endpoint: Any, **_: Any) -> None:
            asked.append(endpoint)

        def open(self) -> None:
            raise InputError("far enough")

    monkeypatch.setattr(esp_anymail, "Poster", NoPoster)
    with pytest.raises(InputError, match="far enough"), EspChannel(esp, PROVIDERS[esp].settings):
        pass

    (endpoint,) = asked
    assert endpoint.is_tls and endpoint.port == 443
    assert esp in endpoint.host


@pytest.mark.parametrize(
    ("listed", "settings"),
    [
        ("", {}),
        ("api_key=a=b==", {"api_key": "a=b=="}),
        ("api_key=a, project_id=b\nregion=c", {"api_key": "a", "project_id": "b", "region": "c"}),
    ],
)
def test_settings_are_read_by_name(listed: str, settings: dict[str, str]) -> None:
    assert read_esp_settings(listed) == settings


@pytest.mark.parametrize("listed", ["hunter2", "=hunter2", "api_key=", "api_key=hunter2 api_key=hunter2"])
def test_settings_without_a_name_or_with_two_are_refused_unseen(listed: str) -> None:
    with pytest.raises(InputError, match=r"^POSTRIDER_ESP_SETTINGS: found ") as error:
        read_esp_settings(listed)

    assert "hunter2" not in str(error.value)
