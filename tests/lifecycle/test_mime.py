"""The builder: what goes in comes out of any reader, and nothing that goes in can become a header or a recipient."""

from __future__ import annotations

import email.message
import email.parser
import email.policy
import email.utils
from collections.abc import Mapping
from datetime import datetime
from email.header import decode_header, make_header
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.lifecycle import mime_reading
from dagster_project.lifecycle.mime import Built, build, read_sender
from dagster_project.lifecycle.mime_encoding import BuildError

MESSAGE_ID = "0123456789abcdef0123456789abcdef"
RECIPIENT = "ada@customer.example"
LINK = "https://mail.ledgerline.example/u/abc.def"
ENCODED_WORD_ATTACK = "=?utf-8?q?evil=40x=2Ecom=2C?="
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
]
UNSAFE = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
UNICODE = st.text(st.characters(codec="utf-8", exclude_characters=UNSAFE + "\u2028\u2029"), max_size=300)
BODY = st.text(
    st.characters(codec="utf-8", exclude_characters=UNSAFE.replace("\n", "").replace("\t", "")), max_size=2000
)


def make(**changed: Any) -> Built:
    arguments: dict[str, Any] = {
        "sender": "Ledgerline <hello@ledgerline.example>",
        "to_address": RECIPIENT,
        "subject": "Ada, connect a data source",
        "html": "<p>Hello Ada</p>\n",
        "text": "Hello Ada\n",
        "unsubscribe_url": LINK,
        "date": datetime.fromisoformat("2026-11-21T09:00:05"),
        "sending_domain": "ledgerline.example",
    } | changed
    return build(arguments.pop("message_id", MESSAGE_ID), **arguments)


def read(built: Built) -> email.message.EmailMessage:
    """The whole message through the standard library's parser, which the builder uses for its headers only."""
    return email.parser.BytesParser(_class=email.message.EmailMessage, policy=email.policy.SMTP).parsebytes(built.raw)


def contents(message: email.message.EmailMessage) -> list[str]:
    """The decoded parts. Not get_content(): it rewrites line ends."""
    return [part.get_payload(decode=True).decode() for part in message.iter_parts()]


def sender_of(built: Built) -> tuple[str, str]:
    """Name and address. The name is read by RFC 2047 (no space between encoded words), not by the newer parser."""
    (sender,) = read(built)["From"].addresses
    raw = email.message_from_bytes(built.raw)["From"]
    return str(make_header(decode_header(email.utils.parseaddr("".join(raw.splitlines()))[0]))), sender.addr_spec


def assert_sound(built: Built) -> None:
    """What every mail must be, whatever stands in it."""
    message = read(built)

    assert message.keys() == HEADERS
    assert [address.addr_spec for address in message["To"].addresses] == [RECIPIENT]
    assert email.utils.getaddresses([str(message["To"])]) == [("", RECIPIENT)]
    assert (built.mail_from, built.rcpt_to) == ("hello@ledgerline.example", RECIPIENT)
    assert built.raw.isascii()
    assert built.raw.count(b"\r\n") == built.raw.count(b"\n") == built.raw.count(b"\r")
    assert built.raw.endswith(b"\r\n")
    assert max(map(len, built.raw.split(b"\r\n"))) <= 998


def test_a_plain_message_is_exactly_these_bytes() -> None:
    """Readable by a person, and a change of a single byte is noticed."""
    expected = """\
From: Ledgerline <hello@ledgerline.example>
To: ada@customer.example
Subject: Ada, connect a data source
Date: Sat, 21 Nov 2026 09:00:05 +0000
Message-ID: <642d459f67d572f8be83fb27a03e44d6@ledgerline.example>
List-Unsubscribe: <https://mail.ledgerline.example/u/abc.def>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_bf38fc05e363ae363e62e4bd"

--=_bf38fc05e363ae363e62e4bd
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Hello Ada

--=_bf38fc05e363ae363e62e4bd
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 7bit

<p>Hello Ada</p>

--=_bf38fc05e363ae363e62e4bd--
"""

    assert make().raw == expected.replace("\n", "\r\n").encode()


def test_the_same_arguments_give_the_same_bytes_and_the_message_id_stays_in_every_attempt() -> None:
    first, later = make(), make(date=datetime.fromisoformat("2026-11-22"))

    assert first == make()
    assert first.header_message_id == later.header_message_id != make(message_id="another").header_message_id
    assert first.raw != later.raw


def test_transactional_mail_has_no_unsubscribe_headers() -> None:
    message = read(make(unsubscribe_url=None))

    assert [name for name in message.keys() if name.startswith("List-")] == []  # noqa: SIM118 - a header's keys


def test_a_reader_sees_text_before_html() -> None:
    """The last part of multipart/alternative is the preferred one."""
    message = read(make(html="<p>Die Größe und noch viel mehr</p>\n", text="日本語\n" * 50))

    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part["Content-Transfer-Encoding"] for part in message.iter_parts()] == ["base64", "quoted-printable"]
    assert contents(message) == ["日本語\r\n" * 50, "<p>Die Größe und noch viel mehr</p>\r\n"]


@settings(max_examples=100, deadline=None)
@given(subject=UNICODE, html=BODY, text=BODY)
def test_any_text_comes_back_as_it_went_in(subject: str, html: str, text: str) -> None:
    built = make(subject=subject, html=html, text=text)
    message = read(built)

    assert_sound(built)
    assert str(message["Subject"]) == subject
    assert contents(message) == [text.replace("\n", "\r\n"), html.replace("\n", "\r\n")]
    assert all(len(line) <= 78 for line in built.raw.split(b"\r\n") if not line.startswith(b"List-Unsubscribe:"))


@settings(max_examples=50, deadline=None)
@given(name=st.text(st.characters(codec="utf-8", exclude_characters=UNSAFE + "\u2028\u2029<>"), max_size=64))
def test_any_sender_name_is_kept_or_refused(name: str) -> None:
    try:
        built = make(sender=f"{name} <hello@ledgerline.example>")
    except BuildError:
        return

    assert_sound(built)
    assert sender_of(built) == (read_sender(f"{name} <hello@ledgerline.example>").name, "hello@ledgerline.example")


@pytest.mark.parametrize(
    "name", ["Ledgerline", "Ledgerline, Inc.", 'Led"ger\\line', "Größe & Söhne", "日本語の名前の会社です。長い名前"]
)
def test_a_sender_name_is_read_as_it_was_meant(name: str) -> None:
    """Commas and quotes are quoted, other letters encoded, long ones folded."""
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' if name.isascii() else name

    assert sender_of(make(sender=f"{quoted} <hello@ledgerline.example>")) == (name, "hello@ledgerline.example")


def test_an_encoded_word_in_the_subject_is_shown_and_not_decoded() -> None:
    built = make(subject=ENCODED_WORD_ATTACK)

    assert_sound(built)
    assert str(read(built)["Subject"]) == ENCODED_WORD_ATTACK


@pytest.mark.parametrize("part", ["sender", "to_address"])
@pytest.mark.parametrize("form", ["{} <b@customer.example>", "{}b@customer.example", '"{}" <b@customer.example>'])
def test_an_encoded_word_cannot_become_a_recipient(part: str, form: str) -> None:
    """Some standard libraries decode it into a second address (gh-80222, gh-121284): here it is refused."""
    with pytest.raises(BuildError):
        make(**{part: form.format(ENCODED_WORD_ATTACK)})


@pytest.mark.parametrize("bad", [*UNSAFE, "\u2028", "\u2029", "\ud800", "\r\nBcc: evil@x.example", "\r\n\r\nbody"])
@pytest.mark.parametrize("part", ["subject", "sender", "to_address", "unsubscribe_url", "extra"])
def test_nothing_that_could_end_a_header_gets_into_one(part: str, bad: str) -> None:
    """Header injection: control characters and line ends, in every value that comes from outside."""
    value: str | Mapping[str, str] = {
        "subject": f"Hello{bad}",
        "sender": f"Ledger{bad}line <hello@ledgerline.example>",
        "to_address": f"ada{bad}@customer.example",
        "unsubscribe_url": f"{LINK}{bad}",
        "extra": {"Feedback-ID": f"a{bad}"},
    }[part]

    with pytest.raises(BuildError):
        make(**{part: value})


@pytest.mark.parametrize("bad", ["\r ", "a\rb", "\0", "\x1b[31m", "\x7f", "\x85", "\x9f", "\ud800"])
@pytest.mark.parametrize("part", ["text", "html"])
def test_a_body_holds_no_bare_carriage_return_and_no_control_character(part: str, bad: str) -> None:
    """A bare CR is how one message is smuggled inside another (VU#302671)."""
    with pytest.raises(BuildError):
        make(**{part: f"Hello{bad}\n"})


def test_crlf_in_a_body_is_the_same_as_lf() -> None:
    assert make(text="a\r\nb\n", html="c\r\n").raw == make(text="a\nb\r\n", html="c\n").raw


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@customer.example",
        "-f@customer.example",
        "ada@localhost",
        "ada@[127.0.0.1]",
        '"a b"@customer.example',
        "ädä@customer.example",
        "Ada <ada@customer.example>",
        "ada@customer.example, evil@x.example",
        "ada@customer.example evil@x.example",
        "ada@customer.example>",
        "ada@x@customer.example",
        "a..b@customer.example",
        "ada@-customer.example",
        f"{'a' * 65}@customer.example",
        f"a@{'a.' * 130}example",
    ],
)
def test_an_address_that_needs_interpreting_is_refused(address: str) -> None:
    """Only a plain ASCII mailbox goes into an envelope; whoever has another one is reported, not guessed at."""
    with pytest.raises(BuildError, match="address_unusable"):
        make(to_address=address)


def test_a_domain_in_other_letters_is_written_in_ascii() -> None:
    built = make(to_address="ada@größe.example")

    assert built.rcpt_to == "ada@xn--gre-6ka8i.example"
    assert read(built)["To"].addresses[0].addr_spec == "ada@xn--gre-6ka8i.example"


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"message_id": "../../etc/passwd"}, "message_id_invalid"),
        ({"sending_domain": "ledgerline.example>\r\n"}, "sending_domain_invalid"),
        ({"unsubscribe_url": "http://mail.ledgerline.example/u/a"}, "unsubscribe_url_invalid"),
        ({"unsubscribe_url": "https://a.example/>,<https://b.example/"}, "unsubscribe_url_invalid"),
        ({"unsubscribe_url": f"https://a.example/{'a' * 1000}"}, "header_too_long"),
        ({"sender": "hello@ledgerline.example, evil@x.example"}, "sender_invalid"),
        ({"sender": f"{'a' * 65} <hello@ledgerline.example>"}, "sender_invalid"),
        ({"extra": {"Bcc": "evil@x.example"}}, "extra_header_invalid"),
        ({"extra": {"to": "evil@x.example"}}, "extra_header_invalid"),
        ({"extra": {"X-A: b\r\nBcc": "evil@x.example"}}, "extra_header_invalid"),
    ],
)
def test_what_cannot_be_said_safely_is_refused_with_a_word(changed: dict[str, Any], word: str) -> None:
    with pytest.raises(BuildError) as refused:
        make(**changed)

    assert refused.value.word == word


def test_extra_headers_go_along() -> None:
    message = read(make(extra={"Feedback-ID": "welcome:default:ledgerline"}))

    assert message["Feedback-ID"] == "welcome:default:ledgerline"


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (b"To: ada@", b"To: eve@", "recipient_differs"),
        (b"To: ada@customer.example", b"To: ada@customer.example, eve@x.example", "recipient_differs"),
        (b"From: Ledgerline", b"From: Ledgerlime", "sender_differs"),
        (b"Subject: Ada", b"Subject: Eve", "subject_differs"),
        (b"Date: ", b"Bcc: eve@x.example\r\nDate: ", "headers_differ"),
        (b"Auto-Submitted: auto-generated\r\n", b"", "headers_differ"),
        (b"Hello Ada\r\n", b"Hello Eve\r\n", "body_differs"),
        (b"<p>Hello Ada</p>", b"<p>Hello Ada</b>", "body_differs"),
        (b"Hello Ada\r\n", b"Hello Ada\n", "line_ends_differ"),
    ],
)
def test_reading_back_notices_every_difference(before: bytes, after: bytes, word: str) -> None:
    """The check is not for show: bytes changed behind the writer's back are refused."""
    raw = make().raw
    assert before in raw

    with pytest.raises(BuildError) as refused:
        mime_reading.refuse_any_difference(
            raw.replace(before, after, 1),
            names=HEADERS,
            boundary=b"=_bf38fc05e363ae363e62e4bd",
            sender=("Ledgerline", "hello@ledgerline.example"),
            recipient=RECIPIENT,
            subject="Ada, connect a data source",
            parts=(b"Hello Ada\r\n", b"<p>Hello Ada</p>\r\n"),
        )

    assert refused.value.word == word


@pytest.mark.parametrize(
    ("html", "encoding"),
    [
        ("<p>" + "a" * 991 + "</p>", "7bit"),
        ("<p>" + "a" * 992 + "</p>", "quoted-printable"),
        ("<p>café</p>", "quoted-printable"),
        ("<p>今日は</p>", "base64"),
    ],
)
def test_a_body_is_sent_as_it_is_only_where_every_server_can_carry_it(html: str, encoding: str) -> None:
    raw = make(html=html).raw
    assert raw.decode("ascii").split("Content-Transfer-Encoding: ")[2].startswith(encoding)
