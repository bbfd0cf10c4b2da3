"""Text messages: how many segments a text takes, what the gateway gets, and that no text is ever cut."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.adapters.channels.sms import GSM_7, GSM_7_ESCAPED, MAX_SEGMENTS, SmsChannel, count_segments
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built, build
from tests.http_server import PATIENCE, Scripted, behaving, reply

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NUMBER = "+4917012345678"


def text_message(text: str = "Your report is ready: https://app.ledgerline.example/r/1\n") -> Built:
    """As built for mail; whoever addresses it to a telephone puts the number into the envelope."""
    built = build(
        "message-1",
        sender="Ledgerline <hello@ledgerline.example>",
        to_address="ada@customer.example",
        subject="Report",
        html="<p>Report</p>\n",
        text=text,
        unsubscribe_url=None,
        date=datetime.fromisoformat("2026-11-21T09:00:00"),
        sending_domain="ledgerline.example",
    )
    return dataclasses.replace(built, rcpt_to=NUMBER)


def channel_to(url: str, **options: Any) -> SmsChannel:
    return SmsChannel(url, SECRET, **{"timeouts": PATIENCE, **options})


@pytest.fixture
def scripted() -> Iterator[Any]:
    servers: list[Scripted] = []

    def start(*arguments: Any, **options: Any) -> Scripted:
        servers.append(Scripted(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_the_gateway_gets_number_and_text_and_a_signature_that_proves_it() -> None:
    with behaving(body=b'{"id": "sms-1"}') as (url, requests, _), channel_to(url) as channel:
        receipt = channel.send(text_message())

    assert (channel.name, receipt.outcome, receipt.provider_id) == ("sms", "sent", "sms-1")
    (request,) = requests
    assert json.loads(request.body) == {
        "message_id": "message-1",
        "to": NUMBER,
        "text": "Your report is ready: https://app.ledgerline.example/r/1",
    }
    signed = f"message-1.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert request.headers["idempotency-key"] == "message-1"


SEGMENTS = [
    ("", 1),
    ("a" * 160, 1),
    ("a" * 161, 2),
    ("a" * 306, 2),
    ("a" * 307, 3),
    ("a" * 1530, 10),
    ("a" * 1531, 11),
    ("€" * 80, 1),
    ("€" * 81, 2),
    ("€" * 152, 2),
    ("€" * 153, 3),
    ("a" * 152 + "€" + "a" * 10, 2),
    ("a" * 152 + "€" + "a" * 151, 2),
    ("a" * 152 + "€" + "a" * 152, 3),
    ("ä\nÖ@£Δ" * 26, 1),
    ("ž" * 70, 1),
    ("ž" * 71, 2),
    ("ž" * 134, 2),
    ("ž" * 135, 3),
    ("ž" * 670, 10),
    ("ž" * 671, 11),
    ("😀" * 35, 1),
    ("😀" * 36, 2),
    ("😀" * 66, 2),
    ("😀" * 67, 3),
    ("ž" * 66 + "😀" + "ž" * 65, 2),
    ("ž" * 66 + "😀" + "ž" * 66, 3),
    ("a" * 70 + "ç", 2),
    ("`" * 71, 2),
]


@pytest.mark.parametrize(("text", "segments"), SEGMENTS, ids=[f"{text[:1]}x{len(text)}" for text, _ in SEGMENTS])
def test_segments_are_counted_as_a_network_does(text: str, segments: int) -> None:
    """160 and 153 septets, 70 and 67 units; nothing is split in two at the end of a segment."""
    assert count_segments(text) == segments


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=1_000))
def test_cutting_a_text_into_that_many_segments_is_possible(text: str) -> None:
    """Against a cutter that fills one segment after the other with whole characters."""
    is_gsm = (GSM_7 | GSM_7_ESCAPED).issuperset(text)

    def size(part: str) -> int:
        if is_gsm:
            return sum(2 if character in GSM_7_ESCAPED else 1 for character in part)
        return len(part.encode("utf-16-be")) // 2

    alone, joined = (160, 153) if is_gsm else (70, 67)
    parts = [""]
    for character in text:
        if size(parts[-1] + character) > joined:
            parts.append("")
        parts[-1] += character

    assert count_segments(text) == (1 if size(text) <= alone else len(parts))


def test_the_alphabet_is_the_standards() -> None:
    """128 places: 127 characters and the escape, and behind it ten more."""
    assert (len(GSM_7), len(GSM_7_ESCAPED)) == (127, 10)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("a" * 1531, "text: 11 segments; allowed: 10"),
        ("ž" * 671, "text: 11 segments; allowed: 10"),
        ("a" * 100_000, "text: 654 segments; allowed: 10"),
        (" \n\n ", "text: empty"),
    ],
    ids=["septets", "units", "much", "nothing"],
)
def test_a_text_that_does_not_fit_is_refused_and_never_cut(scripted: Any, text: str, detail: str) -> None:
    """Half a sentence with half a link is worse than none."""
    server = scripted()
    with channel_to(server.url) as channel:
        receipt = channel.send(text_message(text))

    assert (receipt.outcome, receipt.detail, receipt.is_channel_down) == ("rejected", detail, False)
    assert server.requests == []


@pytest.mark.parametrize("text", ["a" * 1530, "ž" * 670, "two\nlines"], ids=["septets", "units", "lines"])
def test_a_text_that_fits_arrives_whole(scripted: Any, text: str) -> None:
    server = scripted()
    with channel_to(server.url) as channel:
        receipt = channel.send(text_message(text + "\n"))

    assert receipt.outcome == "sent"
    assert json.loads(server.requests[0].body)["text"] == text
    assert count_segments(text) <= MAX_SEGMENTS


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        (reply(200), "sent"),
        (reply(202), "sent"),
        (reply(301), "rejected"),
        (reply(400), "rejected"),
        (reply(429), "deferred"),
        (reply(503), "unknown"),
        ("half", "unknown"),
        ("drop", "unknown"),
        ("reset", "unknown"),
        ("hang", "unknown"),
    ],
    ids=["200", "202", "301", "400", "429", "503", "half", "drop", "reset", "hang"],
)
def test_trouble_is_called_as_with_any_signed_post(scripted: Any, trouble: bytes | str, outcome: str) -> None:
    server = scripted("reply", trouble)
    with channel_to(server.url) as channel:
        receipt = channel.send(text_message())

    assert receipt.outcome == outcome
    assert (len(server.requests), server.connections) == (1, 1)


@pytest.mark.parametrize("spoken", [NUMBER, NUMBER.lstrip("+")])
def test_a_reply_keeps_no_number_in_the_record(scripted: Any, spoken: str) -> None:
    server = scripted("reply", f"HTTP/1.1 400 {spoken} is a landline\r\nContent-Length: 0\r\n\r\n".encode())
    with channel_to(server.url) as channel:
        receipt = channel.send(text_message())

    assert NUMBER.lstrip("+") not in receipt.detail
    assert receipt.detail.endswith("is a landline")


def test_its_settings_are_named_in_what_it_refuses() -> None:
    with pytest.raises(InputError, match=r"^POSTRIDER_SMS_URL: found nothing"):
        SmsChannel(None, SECRET)
    with pytest.raises(InputError, match=r"^POSTRIDER_SMS_SECRET: found nothing"):
        SmsChannel("https://sms.example/", None)
