"""DKIM: what we sign others verify, what is changed on the way they refuse. The judges are dkimpy and OpenDKIM."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dkim as dkimpy
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dagster_project.lifecycle import dkim
from dagster_project.lifecycle.dkim import SIGNED, Body, SigningKey, canonical_body, read_key, signed
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import build
from dagster_project.lifecycle.mime_encoding import BuildError

DOMAIN = "ledgerline.example"
AT = datetime.fromisoformat("2021-11-21T09:00:05")  # long past: judges refuse a signature from the future
KINDS = ["rsa", "ed25519"]
BODIES: list[Body] = ["relaxed", "simple"]
EVERY_WAY = [(kind, body) for kind in KINDS for body in BODIES]
NOT_PREPARED = 100  # as own_name_server.py says it
UNSAFE = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
LINE = st.text(st.characters(codec="utf-8", exclude_characters=UNSAFE + "\u2028\u2029"), max_size=200)
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters=UNSAFE.replace("\n", "").replace("\t", "")), max_size=1000
)
BLANK_TEXT = st.text(st.sampled_from("ab= \t\n\n"), max_size=60)  # all that the two ways of reading a body differ in
ASCII_VALUE = st.from_regex(r"[!-~](?:[ -~]{0,80}[!-~])?", fullmatch=True)


# --- keys and judges ---


def pem(private: Any, encryption: serialization.KeySerializationEncryption | None = None) -> bytes:
    kind = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, kind, encryption or serialization.NoEncryption())


@functools.cache
def private_key(kind: str) -> Any:
    """One of each kind for all tests: to make an RSA key takes longer than a test."""
    makers: dict[str, Callable[[], Any]] = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
        "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "x25519": x25519.X25519PrivateKey.generate,
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    }
    return makers[kind]()


@functools.cache
def key_of(kind: str) -> SigningKey:
    """Read once: OpenSSL tests the primes of an RSA key each time it reads one, for a tenth of a second."""
    return read_key(pem(private_key(kind)), DOMAIN, kind)


class StandInKey:
    """The one class of PyNaCl's that dkimpy verifies with, over the `cryptography` that is installed anyway."""

    def __init__(self, key: bytes, encoder: object) -> None:
        self._key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(key))

    def verify(self, data: bytes, signature: bytes) -> None:
        self._key.verify(signature, data)


@pytest.fixture(scope="module", autouse=True)
def ed25519_in_dkimpy() -> Iterator[None]:
    """dkimpy knows Ed25519 only with PyNaCl; without it, its own reading of the message meets another verifier."""
    with pytest.MonkeyPatch.context() as patch:
        if not hasattr(dkimpy, "nacl"):
            patch.setattr(
                dkimpy,
                "nacl",
                types.SimpleNamespace(
                    signing=types.SimpleNamespace(VerifyKey=StandInKey),
                    encoding=types.SimpleNamespace(Base64Encoder=None),
                    exceptions=types.SimpleNamespace(BadSignatureError=InvalidSignature, ValueError=ValueError),
                ),
                raising=False,
            )
        yield


def verifies(raw: bytes, key: SigningKey, index: int = 0) -> bool:
    """Does dkimpy accept the signature at this place, with nothing but this key's record in DNS?"""
    place = f"{key.selector}._domainkey.{key.domain}.".encode()

    def look_up(name: bytes, timeout: int) -> bytes | None:
        return key.record().encode() if name == place else None

    if index == 0:
        return dkimpy.verify(raw, dnsfunc=look_up, minkey=2048)
    return dkimpy.DKIM(raw, minkey=2048).verify(idx=index, dnsfunc=look_up)


def mail(**changed: Any) -> bytes:
    arguments: dict[str, Any] = {
        "sender": "Ledgerline <hello@ledgerline.example>",
        "to_address": "ada@customer.example",
        "subject": "Ada, connect a data source",
        "html": "<p>Hello  Ada</p>\n",
        "text": "Hello  Ada\n",
        "unsubscribe_url": "https://mail.ledgerline.example/u/abc.def",
        "date": AT,
        "sending_domain": DOMAIN,
        "extra": {"List-ID": "<welcome.ledgerline.example>", "Feedback-ID": "welcome:default:ledgerline"},
    } | changed
    return build("0123456789abcdef0123456789abcdef", **arguments).raw


def field_names(raw: bytes) -> list[str]:
    lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return [line.split(":")[0] for line in lines if not line.startswith(" ")]


def tags_of(signature: bytes) -> dict[str, str]:
    """Tags of one DKIM-Signature header, without any white space."""
    value = re.sub(r"\s", "", signature.decode().partition(":")[2])
    return dict(tag.split("=", 1) for tag in value.split(";"))


# --- signatures verify ---


@pytest.mark.parametrize(("kind", "body"), EVERY_WAY)
def test_a_signed_mail_verifies(kind: str, body: Body) -> None:
    raw = signed(mail(), [key_of(kind)], AT, body)

    assert verifies(raw, key_of(kind))
    assert tags_of(raw)["c"] == f"relaxed/{body}"
    assert tags_of(raw)["a"] == f"{kind}-sha256"


@pytest.mark.parametrize("body", BODIES)
def test_two_keys_give_two_signatures_that_both_verify(body: Body) -> None:
    """RSA for everybody, Ed25519 for those who know it (RFC 8463 §5)."""
    raw = signed(mail(), [key_of("rsa"), key_of("ed25519")], AT, body)

    assert field_names(raw)[:3] == ["DKIM-Signature", "DKIM-Signature", "From"]
    assert verifies(raw, key_of("rsa"))
    assert verifies(raw, key_of("ed25519"), index=1)


def test_a_larger_key_verifies_as_well() -> None:
    assert verifies(signed(mail(), [key_of("rsa-3072")], AT), key_of("rsa-3072"))


def test_another_key_of_the_same_name_does_not_verify() -> None:
    """The judge judges: with a stranger's key in DNS it says no."""
    stranger = read_key(pem(ed25519.Ed25519PrivateKey.generate()), DOMAIN, "ed25519")
    raw = signed(mail(), [key_of("ed25519")], AT)

    assert not verifies(raw, stranger)
    assert verifies(raw, key_of("ed25519"))


@pytest.mark.parametrize(("kind", "body"), EVERY_WAY)
def test_a_header_that_stands_twice_is_signed_twice(kind: str, body: Body) -> None:
    """From the last to the first (RFC 6376 §5.4.2). Ours doesn't write any; a signer may not rely on it."""
    twice = mail().replace(
        b"\r\nList-ID: ", b"\r\nList-ID: <first.x.example>\r\nCc: b@x.example\r\nCc: c@x.example\r\nList-ID: "
    )
    raw = signed(twice, [key_of(kind)], AT, body)

    assert verifies(raw, key_of(kind))
    assert not verifies(altered(raw, b"<first.x.example>", b"<other.x.example>"), key_of(kind))


@settings(max_examples=400, deadline=None)
@given(
    way=st.sampled_from(EVERY_WAY),
    name=LINE,
    subject=LINE,
    html=TEXT | BLANK_TEXT,
    text=TEXT | BLANK_TEXT,
    list_id=ASCII_VALUE,
    link=st.sampled_from([None, "https://a.example/u/1", f"https://a.example/{'u' * 900}"]),
    date=st.datetimes(datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2024-01-01")),
)
def test_every_mail_that_can_be_built_verifies(
    way: tuple[str, Body],
    name: str,
    subject: str,
    html: str,
    text: str,
    list_id: str,
    link: str | None,
    date: datetime,
) -> None:
    kind, body = way
    name = re.sub(r"[<>=]", "", name)[:64].strip()
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        raw = mail(
            sender=f"{quoted if name else ''} <hello@ledgerline.example>",
            subject=subject,
            html=html,
            text=text,
            unsubscribe_url=link,
            date=date,
            extra={"List-ID": list_id},
        )
    except BuildError:
        reject()  # hypothesis fails the test when that is the rule

    assert verifies(signed(raw, [key_of(kind)], date, body), key_of(kind))


# --- the form of the signature ---


@pytest.mark.parametrize(("kind", "body"), EVERY_WAY)
def test_only_the_signature_is_put_in_front(kind: str, body: Body) -> None:
    raw = mail()
    signature = signed(raw, [key_of(kind)], AT, body).removesuffix(raw)

    assert signed(raw, [key_of(kind)], AT, body) == signature + raw
    assert field_names(signature.removesuffix(b"\r\n")) == ["DKIM-Signature"]
    assert signature.endswith(b"\r\n")
    assert signed(raw, [], AT, body) == raw


@pytest.mark.parametrize("kind", [*KINDS, "rsa-3072"])
def test_the_signature_is_folded_into_lines_of_at_most_78_characters(kind: str) -> None:
    """RFC 5322 §2.1.1. No line is blank or ends in a space: some servers trim those and break what is signed."""
    signature = signed(mail(), [key_of(kind)], AT).partition(b"From:")[0].decode()
    first, *others, last = signature.split("\r\n")

    assert last == ""
    assert first.startswith("DKIM-Signature: v=1; ")
    assert all(re.fullmatch(r" \S(.*\S)?", line) for line in others)
    assert max(map(len, [first, *others])) <= 78


def test_the_longest_domain_and_selector_still_fit_a_header_line() -> None:
    """They can't be folded: a line may be longer than 78 characters then, never longer than 998."""
    domain, selector = ".".join(["a" * 57] * 4), "b" * 10
    key = read_key(pem(private_key("ed25519")), domain, selector)
    raw = signed(mail(), [key], AT)

    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert verifies(raw, key)


def test_every_header_is_listed_once_more_than_it_occurs() -> None:
    """Oversigning (RFC 6376 §5.4, §8.15): one more of a name can't be added."""
    raw = mail()
    listed = Counter(tags_of(signed(raw, [key_of("ed25519")], AT).removesuffix(raw))["h"].split(":"))
    present = Counter(name.lower() for name in field_names(raw))

    assert listed == {name: present[name] + 1 for name in SIGNED}
    assert {"from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"} <= set(SIGNED)


def test_the_whole_body_is_signed_and_nothing_limits_it() -> None:
    """No `l=`: whoever may append to a body may replace it. No `x=`: mail that waits in a queue stays valid."""
    raw = mail()
    tags = tags_of(signed(raw, [key_of("rsa")], AT).removesuffix(raw))

    assert set(tags) == {"v", "a", "c", "d", "s", "t", "h", "bh", "b"}
    assert (tags["v"], tags["d"], tags["s"]) == ("1", DOMAIN, "rsa")


def test_the_time_is_read_as_utc_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    times = set()
    for zone in ("UTC", "America/St_Johns", "Pacific/Kiritimati"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        raw = mail()
        times.add(tags_of(signed(raw, [key_of("ed25519")], AT).removesuffix(raw))["t"])
    monkeypatch.undo()
    time.tzset()

    assert times == {str(int(AT.replace(tzinfo=UTC).timestamp()))}


def test_the_same_mail_signed_twice_is_the_same_bytes() -> None:
    """A second attempt is the first one again: neither algorithm draws lots."""
    keys = [key_of("rsa"), key_of("ed25519")]

    assert signed(mail(), keys, AT) == signed(mail(), keys, AT)


# --- what is changed on the way ---

CHANGED = {
    "From": (b"From: Ledgerline", b"From: Ledgerlime"),
    "To": (b"To: ada@", b"To: eve@"),
    "Subject": (b"Subject: Ada,", b"Subject: Eve,"),
    "Date": (b"09:00:05", b"09:00:06"),
    "Message-ID": (b"Message-ID: <", b"Message-ID: <0"),
    "List-Unsubscribe": (b"<https://mail.ledgerline.example", b"<https://mail.ledgerlime.example"),
    "List-Unsubscribe-Post": (b"=One-Click", b"=Two-Click"),
    "Auto-Submitted": (b"auto-generated", b"no"),
    "List-ID": (b"<welcome.", b"<goodbye."),
    "MIME-Version": (b"MIME-Version: 1.0", b"MIME-Version: 1.1"),
    "Content-Type": (b"multipart/alternative", b"multipart/mixed"),
}
ADDED = [name.title() for name in SIGNED]


def altered(raw: bytes, before: bytes, after: bytes) -> bytes:
    assert raw.count(before) == 1
    return raw.replace(before, after)


def with_header(raw: bytes, name: str, at_the_end: bool) -> bytes:
    """One more header of this name behind the signature or behind all others."""
    line = f"{name}: evil@x.example\r\n".encode()
    return (
        raw.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n", 1)
        if at_the_end
        else altered(raw, b"From: L", line + b"From: L")
    )


def without_header(raw: bytes, name: str) -> bytes:
    return altered(raw, re.findall(rf"(?m)^{name}: .*\r\n(?: .*\r\n)*".encode(), raw)[0], b"")


@pytest.mark.parametrize(("kind", "body"), EVERY_WAY)
@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_header_breaks_the_signature(kind: str, body: Body, name: str) -> None:
    raw = signed(mail(), [key_of(kind)], AT, body)

    assert verifies(raw, key_of(kind))
    assert not verifies(altered(raw, *CHANGED[name]), key_of(kind))


@pytest.mark.parametrize("at_the_end", [False, True], ids=["in front", "at the end"])
@pytest.mark.parametrize(("kind", "body"), EVERY_WAY)
@pytest.mark.parametrize("name", ADDED)
def test_an_added_header_breaks_the_signature(kind: str, body: Body, name: str, at_the_end: bool) -> None:
    """A second From, Subject or unsubscribe link, or a first Reply-To: a reader may show the one that isn't signed."""
    raw = signed(mail(), [key_of(kind)], AT, body)

    assert verifies(raw, key_of(kind))
    assert not verifies(with_header(raw, name, at_the_end), key_of(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CHANGED)
def test_a_removed_header_breaks_the_signature(kind: str, name: str) -> None:
    raw = signed(mail(), [key_of(kind)], AT)
    without = without_header(raw, name)

    assert field_names(without) == [other for other in field_names(raw) if other != name]
    assert not verifies(without, key_of(kind))


@pytest.mark.parametrize(("kind", "body"), EVERY_WAY)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\r\nHello  Ada\r\n", b"\r\nHello  Eve\r\n"),
        (b"\r\nHello  Ada\r\n", b"\r\n"),
        (b"\r\nHello  Ada\r\n", b"\r\nHello  Ada\r\nP.S. evil\r\n"),
        (b"\r\nHello  Ada\r\n", b"\r\nHello\r\n  Ada\r\n"),
        (b"\r\nHello  Ada\r\n", b"\r\n\r\nHello  Ada\r\n"),
        (b"\r\nHello  Ada\r\n", b"\r\nHelloAda\r\n"),
        (b"<p>Hello", b"<p>Hullo"),
        (b"--\r\n", b"--\r\nP.S. evil\r\n"),
        (b"--\r\n", b"--\r\n.\r\n"),
    ],
)
def test_a_changed_body_breaks_the_signature(kind: str, body: Body, before: bytes, after: bytes) -> None:
    raw = signed(mail(), [key_of(kind)], AT, body)

    assert verifies(raw, key_of(kind))
    assert not verifies(altered(raw, before, after), key_of(kind))


@pytest.mark.parametrize(
    "tag", [b"d=ledgerline.example", b"s=ed25519", b"t=16", b"h=from:from:", b"c=relaxed/relaxed", b"a=ed25519-sha256"]
)
def test_a_changed_signature_is_none(tag: bytes) -> None:
    """Its tags are signed too. The key is given as if DNS held it at the changed place as well."""
    changed = {
        b"d=ledgerline.example": b"d=x.example",
        b"s=ed25519": b"s=other",
        b"t=16": b"t=15",
        b"h=from:from:": b"h=from:",
        b"c=relaxed/relaxed": b"c=relaxed/simple",
        b"a=ed25519-sha256": b"a=rsa-sha256",
    }
    raw = signed(mail(), [key_of("ed25519")], AT)
    record = key_of("ed25519").record().encode()

    assert dkimpy.verify(raw, dnsfunc=lambda *_, **__: record)
    assert not dkimpy.verify(altered(raw, tag, changed[tag]), dnsfunc=lambda *_, **__: record)


@pytest.mark.parametrize(("kind", "body"), EVERY_WAY)
def test_what_servers_do_on_the_way_breaks_nothing(kind: str, body: Body) -> None:
    """Trace headers in front, other folding of a header, letter case of its name, empty lines at the very end."""
    raw = signed(mail(), [key_of(kind)], AT, body)
    trace = b"Return-Path: <a@b.example>\r\nReceived: from a by b;\r\n\tnow\r\nAuthentication-Results: b; none\r\n"
    folded = altered(raw, b"\r\nSubject: Ada, connect", b"\r\nSUBJECT:  Ada,\r\n\tconnect ")

    assert verifies(trace + folded, key_of(kind))
    assert verifies(raw + b"\r\n\r\n", key_of(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\r\nHello  Ada\r\n", b"\r\nHello Ada\r\n"),
        (b"\r\nHello  Ada\r\n", b"\r\nHello \t Ada\r\n"),
        (b"\r\nHello  Ada\r\n", b"\r\nHello  Ada  \r\n"),
    ],
)
def test_white_space_in_a_body_may_change_when_it_is_relaxed_and_may_not_when_it_is_simple(
    kind: str, before: bytes, after: bytes
) -> None:
    key = key_of(kind)

    assert verifies(altered(signed(mail(), [key], AT, "relaxed"), before, after), key)
    assert not verifies(altered(signed(mail(), [key], AT, "simple"), before, after), key)


# --- canonical forms, against the RFC's examples and dkimpy ---


def test_the_example_of_rfc_6376_comes_out_as_printed() -> None:
    """§3.4.5."""
    body = b" C \r\nD \t E\r\n\r\n\r\n"

    assert dkim._headers(b"A: X\r\nB : Y\t\r\n\tZ  ") == [("a", b"a:X\r\n"), ("b", b"b:Y Z\r\n")]
    assert canonical_body(body, "relaxed") == b" C\r\nD E\r\n"
    assert canonical_body(body, "simple") == b" C \r\nD \t E\r\n"


@pytest.mark.parametrize(
    ("content", "relaxed", "simple"),
    [
        (b"", b"", b"\r\n"),
        (b"\r\n", b"", b"\r\n"),
        (b"\r\n\r\n\r\n", b"", b"\r\n"),
        (b" \t\r\n \r\n", b"", b" \t\r\n \r\n"),
        (b"a", b"a\r\n", b"a\r\n"),
        (b"a \t", b"a\r\n", b"a \t\r\n"),
        (b"a\r\n \t ", b"a\r\n", b"a\r\n \t \r\n"),
        (b"\ta\t\tb\t\r\n\r\n c", b" a b\r\n\r\n c\r\n", b"\ta\t\tb\t\r\n\r\n c\r\n"),
        (b" " * 7 + b"a" + b"\t " * 9 + b"b\r\n", b" a b\r\n", b" " * 7 + b"a" + b"\t " * 9 + b"b\r\n"),
    ],
)
def test_empty_bodies_and_blank_ends_are_what_the_rfc_says(content: bytes, relaxed: bytes, simple: bytes) -> None:
    """§3.4.3 and §3.4.4: an empty body is a line end when simple and nothing when relaxed."""
    assert canonical_body(content, "relaxed") == relaxed
    assert canonical_body(content, "simple") == simple


BODY_LINE = st.lists(st.sampled_from(b" \t  \t\tab.=\x0b\x0c\xa0")).map(bytes) | st.binary(max_size=40).map(
    lambda line: line.replace(b"\r", b"").replace(b"\n", b"")
)


@settings(max_examples=500, deadline=None)
@given(st.lists(BODY_LINE | st.just(b""), max_size=12))
def test_a_body_with_crlf_line_ends_has_the_canonical_form_that_dkimpy_gives_it(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)

    assert canonical_body(content, "relaxed") == Relaxed.canonicalize_body(content)
    assert canonical_body(content, "simple") == Simple.canonicalize_body(content)


@given(st.lists(BODY_LINE | st.just(b""), max_size=12))
def test_a_canonical_body_is_its_own_canonical_form(lines: list[bytes]) -> None:
    content = b"\r\n".join(lines)

    for how in BODIES:
        assert canonical_body(canonical_body(content, how), how) == canonical_body(content, how)


RFC_8463_HEADERS = b"""\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>
""".replace(b"\n", b"\r\n")
RFC_8463_BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
RFC_8463_TAGS = b"""\
v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=""".replace(b"\n", b"\r\n")
RFC_8463_SIGNATURE = b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="


def test_the_example_of_rfc_8463_is_signed_as_printed() -> None:
    """Appendix A: from the published key the published record and the published signature, byte for byte."""
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = read_key(pem(ed25519.Ed25519PrivateKey.from_private_bytes(seed)), "football.example.com", "brisbane")
    covered = b"".join(line for _, line in dkim._headers(RFC_8463_HEADERS.removesuffix(b"\r\n")))
    ((_, itself),) = dkim._headers(b"DKIM-Signature: " + RFC_8463_TAGS)
    body_hash = hashlib.sha256(canonical_body(RFC_8463_BODY, "relaxed")).digest()

    assert key.record() == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert base64.b64encode(body_hash) in RFC_8463_TAGS
    assert base64.b64encode(key.sign(covered + itself.removesuffix(b"\r\n"))) == RFC_8463_SIGNATURE


def test_the_judge_accepts_the_example_of_rfc_8463() -> None:
    """So that what stands in for PyNaCl is tried on a signature that isn't ours."""
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = read_key(pem(ed25519.Ed25519PrivateKey.from_private_bytes(seed)), "football.example.com", "brisbane")
    signature = b"DKIM-Signature: " + RFC_8463_TAGS + RFC_8463_SIGNATURE + b"\r\n"
    raw = signature + RFC_8463_HEADERS + b"\r\n" + RFC_8463_BODY

    assert verifies(raw, key)
    assert not verifies(raw.replace(b"dinner", b"supper"), key)


# --- keys ---


@pytest.mark.parametrize("kind", KINDS)
def test_the_secret_never_shows(kind: str) -> None:
    """A key ends up in logs and error reports by its repr."""
    key = key_of(kind)

    assert repr(key) == str(key) == f"SigningKey(domain='{DOMAIN}', selector='{kind}')"
    assert repr([key]) == f"[{key!r}]"


def test_keys_are_read_in_the_usual_forms() -> None:
    """What `openssl genrsa`, `openssl genpkey` and opendkim-genkey write."""
    traditional = private_key("rsa").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    key = read_key(traditional, "Mail.LedgerLine.example", "2026-11.a")

    assert key.algorithm == "rsa-sha256"
    assert (key.domain, key.selector) == ("mail.ledgerline.example", "2026-11.a")
    assert key.record() == key_of("rsa").record()
    assert key_of("ed25519").algorithm == "ed25519-sha256"


def unusable_key(name: str) -> bytes:
    whole = pem(private_key("rsa"))
    public = private_key("rsa").public_key()
    made: dict[str, Callable[[], bytes]] = {
        "1024 bits": lambda: pem(private_key("rsa-1024")),
        "encrypted": lambda: pem(private_key("rsa"), serialization.BestAvailableEncryption(b"secret")),
        "encrypted Ed25519": lambda: pem(private_key("ed25519"), serialization.BestAvailableEncryption(b"secret")),
        "empty": lambda: b"",
        "garbage": lambda: b"\x00\xff garbage",
        "words": lambda: b"-----BEGIN PRIVATE KEY-----\nnot base64!\n-----END PRIVATE KEY-----\n",
        "cut off": lambda: whole[: len(whole) // 2],
        "a line missing": lambda: b"\n".join(line for n, line in enumerate(whole.split(b"\n")) if n != 5),
        "public": lambda: public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "DER": lambda: private_key("rsa").private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "P-256": lambda: pem(private_key("p256")),
        "Ed448": lambda: pem(private_key("ed448")),
        "X25519": lambda: pem(private_key("x25519")),
    }
    return made[name]()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("1024 bits", "found RSA with 1024 bits; allowed: 2048 or more"),
        *[
            (name, "found no readable key; allowed: a private key in PEM, not encrypted")
            for name in (
                "encrypted",
                "encrypted Ed25519",
                "empty",
                "garbage",
                "words",
                "cut off",
                "a line missing",
                "public",
                "DER",
            )
        ],
        ("P-256", "allowed: RSA or Ed25519"),
        ("Ed448", "allowed: RSA or Ed25519"),
        ("X25519", "allowed: RSA or Ed25519"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_in_one_line_that_names_its_source(name: str, words: str) -> None:
    """And without a piece of the key in it."""
    with pytest.raises(InputError) as refused:
        read_key(unusable_key(name), DOMAIN, "s1", source="keys/dkim.pem")

    message = str(refused.value)
    assert message.startswith("keys/dkim.pem: found ")
    assert message.endswith(words)
    assert len(message) < 150
    assert "\n" not in message
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "localhost",
        "ledgerline..example",
        "ledgerline.example.",
        "größe.example",
        "a b.example",
        "a.example;",
        "a.example\r\nBcc: x",
    ],
)
def test_a_domain_that_is_none_is_refused(domain: str) -> None:
    with pytest.raises(InputError, match=r"^POSTRIDER_DKIM: found domain .*; allowed: a domain name"):
        read_key(pem(private_key("ed25519")), domain, "s1", source="POSTRIDER_DKIM")


@pytest.mark.parametrize(
    "selector",
    ["", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "a;d=x.example", "a\n", "a\r\nBcc: x", "ä", "a_b", "a@b"],
)
def test_a_selector_that_is_none_is_refused(selector: str) -> None:
    """It stands in the header and in a DNS name."""
    with pytest.raises(InputError, match=r"^POSTRIDER_DKIM: found selector .*; allowed: letters, digits"):
        read_key(pem(private_key("ed25519")), DOMAIN, selector, source="POSTRIDER_DKIM")


# --- OpenDKIM ---


def mails_for_opendkim() -> dict[str, tuple[bytes, bool]]:
    """Name → (bytes, must it verify?): every way to sign, mails of many forms, and all that may not pass."""
    forms: dict[str, dict[str, Any]] = {
        "plain": {},
        "transactional": {"unsubscribe_url": None, "extra": None},
        "encoded": {"subject": "Größe und 日本語 " * 12, "sender": "Größe & Söhne <hello@ledgerline.example>"},
        "folded": {"subject": "one word after the other " * 9 + "end"},
        "blank": {"text": "a \t b  \n\t\n \n\n", "html": " \n\n<p> a\t\tb </p> \n \n\n"},
        "empty": {"text": "", "html": ""},
        "large": {"html": "<p>Hello Ada</p>\n" * 8_000},
    }
    found: dict[str, tuple[bytes, bool]] = {}
    for kind, body in EVERY_WAY:
        for form, changed in forms.items():
            found[f"{kind}-{body}-{form}"] = signed(mail(**changed), [key_of(kind)], AT, body), True
        raw = signed(mail(), [key_of(kind)], AT, body)
        for name, (before, after) in CHANGED.items():
            found[f"{kind}-{body}-changed-{name}"] = altered(raw, before, after), False
        for name in ADDED:
            found[f"{kind}-{body}-added-{name}"] = with_header(raw, name, at_the_end=False), False
            found[f"{kind}-{body}-appended-{name}"] = with_header(raw, name, at_the_end=True), False
        found[f"{kind}-{body}-body"] = altered(raw, b"<p>Hello", b"<p>Hullo"), False
    found["both"] = signed(mail(), [key_of("rsa"), key_of("ed25519")], AT), True
    found["unsigned"] = mail(), False
    return found


def test_opendkim_agrees_on_every_mail(tmp_path: Path) -> None:
    """A second implementation with its own Ed25519. It asks DNS for keys, so it gets a network and DNS of its own."""
    tool = shutil.which("opendkim-testmsg", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if tool is None or shutil.which("unshare") is None:
        pytest.skip("opendkim-testmsg (Debian: opendkim-tools) or unshare is not installed")
    keys = [key_of(kind) for kind in KINDS]
    (tmp_path / "records").write_text(
        json.dumps({f"{key.selector}._domainkey.{key.domain}": key.record() for key in keys})
    )
    expected = {}
    for name, (raw, good) in mails_for_opendkim().items():
        (tmp_path / f"{name}.eml").write_bytes(raw)
        expected[name] = good
    each = 'for mail in "$1"/*.eml; do "$0" <"$mail" >/dev/null 2>&1; echo "$(basename "$mail" .eml) $?"; done'
    own = ["unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable]
    command = [*own, str(Path(__file__).with_name("own_name_server.py")), str(tmp_path / "records")]
    done = subprocess.run(
        [*command, "sh", "-c", each, tool, str(tmp_path)], check=False, capture_output=True, text=True, timeout=60
    )
    if done.returncode == NOT_PREPARED or done.stderr.startswith("unshare:"):
        pytest.skip(f"this machine gives nobody a network and mounts of their own: {done.stderr.strip()}")

    assert done.returncode == 0, done.stderr
    assert {name: code == "0" for name, code in map(str.split, done.stdout.splitlines())} == expected
    assert Counter(expected.values()) == {True: 29, False: 169}
