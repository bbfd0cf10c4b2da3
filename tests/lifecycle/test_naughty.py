"""Strings that break programs, in every place of a mail that somebody else fills: built soundly or refused, never else.

Three readers look at each mail: both policies of the standard library's parser, and a strict one written here, which
knows only the few forms that a mail of ours may have and accepts nothing else.
"""

from __future__ import annotations

import base64
import dataclasses
import email.message
import email.parser
import email.policy
import email.utils
import functools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from email.header import decode_header, make_header
from email.headerregistry import Address
from pathlib import Path
from typing import Any

import idna
import pytest

from dagster_project.lifecycle.mime import Built, build
from dagster_project.lifecycle.mime_encoding import BuildError

RECIPIENT = "ada@customer.example"
AUTHOR = "hello@ledgerline.example"
LINK = "https://mail.ledgerline.example/u/abc.def"
ATTACK = "=?utf-8?q?evil=40x=2Ecom=2C?="
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

CRAFTED = [
    # encoded words: whole, broken, nested, in other charsets and encodings, with what a header must not hold inside
    ATTACK,
    f"{ATTACK} ",
    f" {ATTACK}",
    f"{ATTACK} {ATTACK}",
    f"{ATTACK}{ATTACK}",
    f"Ada {ATTACK}",
    f"Ada{ATTACK}Lovelace",
    f'"{ATTACK}"',
    f"({ATTACK})",
    "=?utf-8?b?ZXZpbEB4LmNvbSw=?=",
    "=?UTF-8?B?ZXZpbEB4LmNvbQ==?=",
    "=?utf-8?q?=0D=0ABcc=3A_evil=40x.example?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAeC5leGFtcGxl?=",
    "=?utf-8?q?=00?=",
    "=?utf-8?q?=22=2C_evil=40x.example=2C_=22?=",
    "=?utf-8?q?=3D=3Futf-8=3Fq=3Fevil=3F=3D?=",
    "=?utf-16?b?AGUAdgBpAGw=?=",
    "=?utf-7?q?+AGUAdgBpAGw-?=",
    "=?us-ascii*en?q?evil=40x.example?=",
    "=?iso-2022-jp?b?GyRCJCIbKEI=?=",
    "=?unknown-8bit?q?=FF=FE?=",
    "=?no-such-charset?q?evil?=",
    "=?utf-8?q?=C3?= =?utf-8?q?=A4?=",
    "=?utf-8?q?=ED=A0=80?=",
    "=?utf-8?b?!!!?=",
    "=?utf-8?x?evil?=",
    "=?utf-8?q?evil",
    "=?utf-8?q?",
    "=?utf-8?",
    "=?",
    "?=",
    "=??q??=",
    "=?utf-8?q??=",
    "=?utf-8?q?a b?=",
    "=?utf-8?q?=?utf-8?q?evil?=?=",
    "=" * 80,
    "=_" * 40,
    "=3D=20=0D=0A",
    # quotes, escapes, specials of an address
    '"',
    '""',
    '"""',
    '"Ada',
    'Ada"',
    '"Ada" "Lovelace"',
    'Ada" <evil@x.example>, "',
    '", evil@x.example, "',
    '\\", evil@x.example, \\"',
    "\\",
    "\\\\",
    "\\\\\\",
    "Ada\\",
    '"Ada\\"',
    '\\"',
    "'",
    "`id`",
    "$(id)",
    "Ada, evil@x.example",
    "Ada; evil@x.example",
    "Ada <evil@x.example>",
    "Ada <evil@x.example>,",
    "<evil@x.example>",
    "<>",
    "<",
    ">",
    "<<evil@x.example>>",
    ",",
    ",,,,",
    ":",
    ";",
    "@",
    "@@",
    "evil@x.example",
    "evil@x.example,",
    "evil@x.example ",
    "evil@x.example\\",
    "evil%x.example@relay.example",
    "x.example!evil",
    "mailto:evil@x.example",
    # route addresses, groups, comments, address literals
    "<@relay.example:evil@x.example>",
    "<@a.example,@b.example:evil@x.example>",
    "@relay.example:evil@x.example",
    "undisclosed-recipients:;",
    "Team: evil@x.example, eve@x.example;",
    "Team: evil@x.example;",
    "Team:",
    "(comment)",
    "(",
    ")",
    "((((((((((",
    "(" * 200 + ")" * 200,
    "(evil@x.example)",
    "Ada (evil@x.example) <evil@x.example>",
    "evil(comment)@x.example",
    "evil@(comment)x.example",
    "evil@[127.0.0.1]",
    "evil@[IPv6:::1]",
    '"evil"@x.example',
    '"evil@x.example,"@x.example',
    # an option of a sendmail command, a path, a dot line, what looks like protocol
    "-f",
    "-oQ/tmp -X/tmp/log",
    "--",
    "-- ",
    "--=_",
    "--=_bf38fc05e363ae363e62e4bd",
    "--=_bf38fc05e363ae363e62e4bd--",
    "../../etc/passwd",
    ".",
    "..",
    "\n.\n",
    "\r\n.\r\n",
    "\r\n.\r\nMAIL FROM:<evil@x.example>\r\n",
    "From evil@x.example Thu Jan 01 00:00:00 1970",
    "Bcc: evil@x.example",
    "Content-Type: text/html",
    # line ends and header injection
    "\r",
    "\n",
    "\r\n",
    "\n\r",
    "\r\r\n",
    "\r\n ",
    "\r\n\t",
    "\r\n\r\n",
    "Hi\r\nBcc: evil@x.example",
    "Hi\nBcc: evil@x.example",
    "Hi\rBcc: evil@x.example",
    "Hi\r\n Bcc: evil@x.example",
    "Hi\r\n\tBcc: evil@x.example",
    "Hi\r\n\r\n<script>alert(1)</script>",
    "Hi\r\nTo: evil@x.example\r\nSubject: other",
    "Hi\x0bBcc: evil@x.example",
    "Hi\x0cBcc: evil@x.example",
    "Hi\x1cBcc: evil@x.example",
    "Hi\x1dBcc: evil@x.example",
    "Hi\x1eBcc: evil@x.example",
    "Hi\x85Bcc: evil@x.example",
    "Hi\u2028Bcc: evil@x.example",
    "Hi\u2029Bcc: evil@x.example",
    "Hi%0D%0ABcc: evil@x.example",
    "Hi\\r\\nBcc: evil@x.example",
    "Hi\u560d\u560aBcc: evil@x.example",  # their low bytes are CR and LF
    "Hi\u010d\u010aBcc: evil@x.example",
    # control characters and halves of characters
    "\0",
    "Ada\0",
    "Ada\0@customer.example",
    "\x01\x02\x03",
    "\x08",
    "\t",
    "Ada\tLovelace",
    "\x1b[31mAda\x1b[0m",
    "\x7f",
    "\x80",
    "\x9b31m",
    "\x9f",
    "\ud800",
    "\udfff",
    "\ud83d\ude00",  # two halves are no whole
    "Ada\udcff",
    "\udc80" * 100,
    # bidirectional and invisible characters, odd spaces, combining, look-alikes
    "\u202eelpmaxe.x@live",
    "\u202aAda\u202c",
    "\u2066Ada\u2069",
    "\u200fAda\u200e",
    "\u202e" * 70,
    "\u061c",
    "A\u200bd\u200ca\u200d",
    "\u2060\ufeff",
    "\ufeffAda",
    "\u00adAda",
    "\u00a0",
    "\u3000Ada\u3000",
    "\u2003 \u2003",
    "\u1680",
    "A" + "\u0301" * 50,
    "\u0301",
    "a\u0308da",
    "\uff1cevil\uff20x.example\uff1e",
    "evil\uff20x.example",
    "evil@x\uff0eexample",
    "evil@x\u3002example",
    "evil@x.example\u2048",
    "evil@\u2100.example",  # compatibility mapping makes "a/c" of it
    "evil@x\u2024example",
    "\u0430d\u0430",
    "\ufffd",
    "\uffff",
    "\U0010ffff",
    "\U000e0001\U000e0041",
    "👩‍👩‍👧‍👦" * 3,
    "🏴\U000e0067\U000e0062\U000e007f",
    "Größe & Söhne",
    "İstanbul",
    "ẞ",
    "日本語の名前",
    "שלום עולם",
    "مرحبا بالعالم",
    # white space that folding and trimming could lose
    "",
    " ",
    "  ",
    " Ada",
    "Ada ",
    "Ada  Lovelace",
    "Ada   \t  Lovelace",
    " " * 100,
    " " * 1000,
    "a " * 500,
    # markup and templates: text like any other
    "<p>Ada</p>",
    "</p></html><!--",
    "{{ 7 * 7 }}",
    "{% include '/etc/passwd' %}",
    "${jndi:ldap://x.example/a}",
    "%s%n%x",
    "'; drop table users; --",
    # huge
    "a" * 65,
    "a" * 77,
    "a" * 998,
    "a" * 999,
    "a" * 20_000,
    "é" * 2_000,
    "👩" * 1_000,
    "," * 2_000,
    '"' * 2_000,
    "\\" * 2_000,
    "a@b.example, " * 500,
    f"{ATTACK} " * 200,
    f"{'a' * 65}@customer.example",
    f"a@{'a.' * 130}example",
    f"a@{'é.' * 2_000}example",
    # four that are addresses, so that the place of the recipient is seen to accept some
    "o'hara+list@customer.example",
    "Ada.B@Customer.Example",
    "ada@größe.example",
    "ada@xn--gre-6ka8i.example",
]


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one reader found: names of the headers, recipients, senders (name and address), subject, decoded parts."""

    names: list[str]
    recipients: list[str]
    senders: list[tuple[str, str]]
    subject: str
    parts: list[tuple[str, bytes]]


def make(**changed: Any) -> Built:
    arguments: dict[str, Any] = {
        "sender": f"Ledgerline <{AUTHOR}>",
        "to_address": RECIPIENT,
        "subject": "Ada, connect a data source",
        "html": "<p>Hello Ada</p>\n",
        "text": "Hello Ada\n",
        "unsubscribe_url": LINK,
        "date": datetime.fromisoformat("2026-11-21T09:00:05"),
        "sending_domain": "ledgerline.example",
    } | changed
    return build("0123456789abcdef0123456789abcdef", **arguments)


# --- three readers ---


def everybody(fields: list[tuple[str, str]]) -> list[str]:
    """All addresses in the headers that smtplib's send_message takes recipients from, and in their Resent- twins."""
    receiving = ("to", "cc", "bcc")
    values = [value for name, value in fields if name.lower().removeprefix("resent-") in receiving]
    return [address for _, address in email.utils.getaddresses(values)]


def decoded_parts(message: email.message.Message) -> list[tuple[str, bytes]]:
    payload = message.get_payload()
    assert isinstance(payload, list)
    assert all(not part.is_multipart() and not part.defects for part in payload)
    return [(part.get_content_type(), part.get_payload(decode=True)) for part in payload]


def by_new_policy(raw: bytes) -> Reading:
    """The addresses' names are not asked for: this parser puts a space between two encoded words (RFC 2047 §6.2)."""
    message = email.parser.BytesParser(_class=email.message.EmailMessage, policy=email.policy.default).parsebytes(raw)
    assert not message.defects
    fields = message.items()  # each access parses anew
    values = dict(fields)
    recipients = [address.addr_spec for address in values["To"].addresses]
    assert recipients == everybody(fields)
    assert not any(values[name].defects for name in ("From", "To", "Subject", "Content-Type"))
    return Reading(
        names=[name for name, _ in fields],
        recipients=recipients,
        senders=[(by_old_policy(raw).senders[0][0], address.addr_spec) for address in values["From"].addresses],
        subject=str(values["Subject"]),
        parts=decoded_parts(message),
    )


@functools.lru_cache(maxsize=1)
def by_old_policy(raw: bytes) -> Reading:
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(raw)
    assert not message.defects
    fields = [(name, "".join(str(value).splitlines())) for name, value in message.items()]
    values = dict(fields)
    return Reading(
        names=[name for name, _ in fields],
        recipients=everybody(fields),
        senders=[
            (str(make_header(decode_header(name))), address)
            for name, address in email.utils.getaddresses([values["From"]])
        ],
        subject=str(make_header(decode_header(values["Subject"]))),
        parts=decoded_parts(message),
    )


ADDR_SPEC = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}"
STRICT_FROM = re.compile(rf'(?:(?P<quoted>"(?:[^"\\]|\\["\\])*")|(?P<words>[^"<>@,;:\\()]+)) <(?P<spec>{ADDR_SPEC})>')
STRICT_TYPE = re.compile(r'multipart/alternative; boundary="(=_[0-9a-f]{24})"')
STRICT_WORD = re.compile(r"=\?utf-8\?q\?((?:[A-Za-z0-9!*+/_-]|=[0-9A-F]{2})+)\?=")


def fields_of(head: bytes) -> Iterator[tuple[str, str]]:
    """Name and unfolded value of each header; a line that is neither a header nor a fold with something in it fails."""
    field = ""
    for line in head.decode("ascii").split("\r\n"):
        assert line.isprintable(), line
        assert len(line) <= 998
        if line.startswith(" "):
            assert field
            assert line.strip()
            field += line
            continue
        if field:
            yield field.split(":", 1)[0], field.split(":", 1)[1].removeprefix(" ")
        assert re.match(r"[A-Z][A-Za-z-]*:", line), line
        field = line
    yield field.split(":", 1)[0], field.split(":", 1)[1].removeprefix(" ")


def words_of(value: str) -> str:
    """Unstructured text. Either all of it is encoded words or none of it is."""
    if "=?" not in value:
        return value
    found = [STRICT_WORD.fullmatch(word) for word in value.split(" ")]
    assert all(found), value
    hexed = [re.sub("=(..)", lambda code: chr(int(code[1], 16)), word[1].replace("_", " ")) for word in found if word]
    return "".join(word.encode("latin-1").decode("utf-8") for word in hexed)  # each word holds whole characters


def content_of(encoding: str, body: bytes) -> bytes:
    """The content of a part, by a decoder that takes nothing but what RFC 2045 lets a writer write."""
    lines = body.split(b"\r\n")
    assert all(len(line) <= (998 if encoding == "7bit" else 76) for line in lines)
    if encoding == "7bit":
        assert re.fullmatch(rb"[\t\r\n -~]*", body)
        return body
    if encoding == "base64":
        return base64.b64decode(b"".join(lines), validate=True)
    assert encoding == "quoted-printable"
    content = b""
    for number, line in enumerate(lines):
        assert not line.endswith((b" ", b"\t")), line
        assert re.fullmatch(rb"(?:[\t -<>-~]|=[0-9A-F]{2})*=?", line), line
        soft = line.endswith(b"=")
        end = b"" if soft or number == len(lines) - 1 else b"\r\n"
        content += re.sub(rb"=(..)", lambda code: bytes([int(code[1], 16)]), line.removesuffix(b"=")) + end
    return content


def by_strict_reader(raw: bytes) -> Reading:
    """A mail of ours as it is meant to be, down to the byte; anything else is an AssertionError."""
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = list(fields_of(head))
    values = dict(fields)
    assert len({name.lower() for name in values}) == len(fields), "a header stands twice"

    author = STRICT_FROM.fullmatch(values["From"])
    if author is None:
        assert re.fullmatch(ADDR_SPEC, values["From"]), values["From"]
        senders = [("", values["From"])]
    else:
        name = re.sub(r"\\(.)", r"\1", author["quoted"][1:-1]) if author["quoted"] else words_of(author["words"])
        senders = [(name, author["spec"])]
    assert re.fullmatch(ADDR_SPEC, values["To"]), values["To"]

    kind = STRICT_TYPE.fullmatch(values["Content-Type"])
    assert kind
    before, *pieces, after = (b"\r\n" + body).split(b"\r\n--" + kind[1].encode())
    assert (before, after) == (b"", b"--\r\n")
    parts = []
    for piece in pieces:
        assert piece.startswith(b"\r\n")
        part_head, _, part_body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        (type_name, type_value), (encoding_name, encoding) = fields_of(part_head)
        assert (type_name, encoding_name) == ("Content-Type", "Content-Transfer-Encoding")
        assert type_value.endswith("; charset=utf-8")
        parts.append((type_value.removesuffix("; charset=utf-8"), content_of(encoding, part_body)))
    return Reading([name for name, _ in fields], [values["To"]], senders, words_of(values["Subject"]), parts)


READERS = [by_new_policy, by_old_policy, by_strict_reader]


# --- five places ---


def on_the_wire(address: str) -> str:
    """What an envelope for this address must hold, worked out by other means than the builder's."""
    local, _, domain = address.rpartition("@")
    return address if address.isascii() else f"{local}@{idna.encode(domain, uts46=True).decode()}"


def as_display_name(string: str) -> Iterator[dict[str, str]]:
    escaped = string.replace("\\", "\\\\").replace('"', '\\"')
    yield {"sender": f"{string} <{AUTHOR}>"}
    yield {"sender": f"{string}<{AUTHOR}>"}
    yield {"sender": f'"{escaped}" <{AUTHOR}>'}


def as_subject(string: str) -> Iterator[dict[str, str]]:
    yield {"subject": string}
    yield {"subject": f"Hello {string}, welcome"}


def as_html_fact(string: str) -> Iterator[dict[str, str]]:
    yield {"html": f'{string}<p title="{string}">{string}</p>{string}'}


def as_text_fact(string: str) -> Iterator[dict[str, str]]:
    yield {"text": f"{string}: hello {string}"}


def as_recipient(string: str) -> Iterator[dict[str, str]]:
    yield {"to_address": string}
    yield {"to_address": f"{string} <{RECIPIENT}>"}
    yield {"to_address": f'"{string}" <{RECIPIENT}>'}
    yield {"to_address": f"{string}{RECIPIENT}"}
    yield {"to_address": f"{RECIPIENT}{string}"}
    yield {"to_address": f"{RECIPIENT}, {string}"}
    yield {"to_address": f"ada{string}@customer.example"}


PLACES = {
    "display name": as_display_name,
    "subject": as_subject,
    "html fact": as_html_fact,
    "text fact": as_text_fact,
    "recipient": as_recipient,
}


def meant_name(sender: str) -> str:
    """The display name as whoever wrote the setting meant it."""
    name = sender.removesuffix(f"<{AUTHOR}>").strip()
    quoted = len(name) > 1 and name[0] == name[-1] == '"'
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if quoted else name


def assert_only_what_was_meant(built: Built, **given: str) -> None:
    """Envelope and content are the arguments, for each of the readers; no header is new, missing or there twice."""
    meant = {"subject": "Ada, connect a data source", "html": "<p>Hello Ada</p>\n", "text": "Hello Ada\n"} | given
    recipient = on_the_wire(given.get("to_address", RECIPIENT))
    name = meant_name(given.get("sender", f"Ledgerline <{AUTHOR}>"))

    assert (built.mail_from, built.rcpt_to) == (AUTHOR, recipient)
    expected = Reading(
        names=HEADERS,
        recipients=[recipient],
        senders=[(name, AUTHOR)],
        subject=meant["subject"],
        parts=[
            (kind, meant[name].replace("\r\n", "\n").replace("\n", "\r\n").encode())
            for kind, name in (("text/plain", "text"), ("text/html", "html"))
        ],
    )
    for reader in READERS:
        assert reader(built.raw) == expected, (reader.__name__, given)


def tally(strings: list[str], place: str) -> tuple[int, Counter[str]]:
    """Number of mails built, each one checked, and how often which refusal. Any exception but BuildError goes up."""
    built, refused = 0, Counter[str]()
    for string in strings:
        for given in PLACES[place](string):
            try:
                mail = make(**given)
            except BuildError as error:
                assert repr(RECIPIENT) not in str(error)
                refused[error.word] += 1
                continue
            assert_only_what_was_meant(mail, **given)
            built += 1
    return built, refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "built", "refused"),
    [
        # refused as names: < and >, an encoded word's "=?", more than 64 characters, white space at either end
        ("display name", 790, {"sender_invalid": 734, "control_character_in_sender": 21}),
        ("subject", 1016, {"control_character_in_subject": 14}),
        ("html fact", 509, {"control_character_in_html": 6}),
        ("text fact", 509, {"control_character_in_text": 6}),
        # built: those that leave an address in front of, behind or instead of the "ada" an address again
        ("recipient", 255, {"address_unusable": 3350}),
    ],
)
def test_515_naughty_strings_change_no_recipient_and_add_no_header(
    shared_data: Path, place: str, built: int, refused: dict[str, int]
) -> None:
    """The public list, in each place. The figures are frozen: a verdict that changes is noticed."""
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))

    assert len(strings) == 515
    assert tally(strings, place) == (built, refused)


@pytest.mark.parametrize(
    ("place", "built", "refused"),
    [
        ("display name", 344, {"sender_invalid": 217, "control_character_in_sender": 132}),
        ("subject", 349, {"control_character_in_subject": 88, "subject_too_long": 25}),
        (
            "html fact",
            204,
            {
                "control_character_in_html": 16,
                "not_unicode_in_html": 5,
                "bare_carriage_return_in_html": 4,
                "body_differs": 2,
            },
        ),
        (
            "text fact",
            204,
            {
                "control_character_in_text": 16,
                "not_unicode_in_text": 5,
                "bare_carriage_return_in_text": 4,
                "body_differs": 2,
            },
        ),
        ("recipient", 38, {"address_unusable": 1579}),
    ],
)
def test_crafted_strings_change_no_recipient_and_add_no_header(place: str, built: int, refused: dict[str, int]) -> None:
    """Our own list, made for mail: encoded words, quoting, header injection, bidirectional text, size."""
    assert len(set(CRAFTED)) == len(CRAFTED) >= 100
    assert tally(CRAFTED, place) == (built, refused)


def test_the_same_string_everywhere_at_once_is_still_only_itself() -> None:
    """What is harmless alone could be harmful together: a name that opens a quote, a subject that closes it."""
    built = 0
    for string in CRAFTED:
        escaped = string.replace("\\", "\\\\").replace('"', '\\"')
        given = {"sender": f'"{escaped}" <{AUTHOR}>', "subject": string, "html": string, "text": string}
        try:
            mail = make(**given)
        except BuildError:
            continue
        assert_only_what_was_meant(mail, **given)
        built += 1

    assert built == 106


@pytest.mark.parametrize("length", [1, 68, 69, 70, 77, 78, 79, 500])
@pytest.mark.parametrize("rest", ["", " and more words behind it, so that the header is folded at least once again"])
def test_a_subject_may_begin_with_a_word_of_any_length(length: int, rest: str) -> None:
    """A fold right behind "Subject:" would be read as a space by some parsers: no reader sees one that isn't there."""
    subject = "a" * length + rest

    assert_only_what_was_meant(make(subject=subject), subject=subject)


def test_the_boundary_in_a_body_is_refused_and_splits_no_part() -> None:
    """A body is written as it is when it may be, so it could hold the line that ends a part, if somebody knew it."""
    boundary = STRICT_TYPE.search(make().raw.decode())
    assert boundary

    for text in (f"--{boundary[1]}", f"Hello\n--{boundary[1]}--\n", f"Hello\n--{boundary[1]} and more\n"):
        for part in ("text", "html"):
            with pytest.raises(BuildError, match="body_differs"):
                make(**{part: text})


def test_the_standard_librarys_own_builder_lets_an_encoded_word_become_a_recipient_and_ours_does_not() -> None:
    """gh-80222, gh-121284: why messages are put together here. Which releases are fixed is seen, not assumed."""
    message = email.message.EmailMessage()
    message["From"] = AUTHOR
    message["To"] = Address(display_name=f"{ATTACK} ", addr_spec="b@example.com")
    raw = message.as_bytes(policy=email.policy.SMTP)
    again = email.parser.BytesParser(_class=email.message.EmailMessage, policy=email.policy.SMTP).parsebytes(raw)
    found = [address.addr_spec for address in again["To"].addresses]

    if found == ["evil@x.com", "b@example.com"]:
        assert b"\r\nTo: evil@x.com," in raw, "this Python is affected: the word is decoded and not quoted again"
    else:
        assert found == ["b@example.com"], "this Python is fixed: one recipient, the one that was meant"
        assert sys.version_info[:3] not in {(3, 11, 7), (3, 12, 1), (3, 13, 0)}, "known to be affected"

    for given in ({"to_address": f"{ATTACK} <b@example.com>"}, {"sender": f"{ATTACK}  <b@example.com>"}):
        with pytest.raises(BuildError):
            make(**given)
    assert_only_what_was_meant(make(subject=f"{ATTACK} "), subject=f"{ATTACK} ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject:", b"Bcc: evil@x.example\r\nSubject:"),
        (b"Subject:", b"subject: other\r\nSubject:"),
        (b"To: ada@customer.example", b"To: ada@customer.example, evil@x.example"),
        (b"To: ada@customer.example", b"To: Ada <ada@customer.example>"),
        (b"To: ada@customer.example", b"To: evil@x.example"),
        (b"From: Ledgerline", b"From: evil@x.example, Ledgerline"),
        (b"From: Ledgerline", b"From: =?utf-8?q?evil=40x=2Eexample=2C?="),
        (b"Subject: Ada,", b"Subject: =?utf-8?q?Ada=2C?="),
        (b"Subject: Ada,", b"Subject: Ada\0,"),
        (b"\r\n\r\n", b"\r\n \r\n\r\n"),
        (b"\r\n\r\n", b"\r\n\r\nHi\r\n"),
        (b"Hello Ada\r\n", b"Hello Ada\n"),
        (b"Hello Ada\r\n", b"Hello Eve\r\n"),
    ],
)
def test_the_strict_reader_notices_what_it_is_there_for(before: bytes, after: bytes) -> None:
    """It is the judge of the others, so it is tried itself."""
    built = make()
    assert before in built.raw

    with pytest.raises(AssertionError):
        assert by_strict_reader(built.raw.replace(before, after, 1)) == by_strict_reader(built.raw)
