"""The last look before a mail leaves: each rule refuses what it is for, and nothing that is well."""

from __future__ import annotations

import html
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dagster_project.adapters.compiled import CompiledTemplate
from dagster_project.lifecycle.dkim import SigningKey, signed
from dagster_project.lifecycle.lint.catalogue import RULES, lint
from dagster_project.lifecycle.lint.domains import is_aligned, is_reserved_host
from dagster_project.lifecycle.lint.parts import MAX_HTML_BYTES
from dagster_project.lifecycle.lint.wording import find_test_wording
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime import build
from dagster_project.settings import Settings
from tests.shipped import shipped_templates

ROOT = Path(__file__).parents[2]
AT = datetime.fromisoformat("2026-11-21T09:00:05")
DOMAIN = "ledgerline.co"  # everywhere else it is .example, which no mail in production may come from
LINK = f"https://mail.{DOMAIN}/u/abc.def"
ADDRESS = "Ledgerline GmbH, Hauptstr. 1, 10827 Berlin"
SUBJECT = "Ada, connect a data source"
TEXT = f"""Hi Ada,

Connect a data source:
https://app.{DOMAIN}/sources

--
You signed up. Unsubscribe: {LINK}

{ADDRESS}
"""
HTML = f"""<!doctype html>
<html><head><title>A subject</title><style>@media all {{ p {{ color: red }}}}</style></head><body>
<p>Hi Ada,</p>
<p><a href="https://app.{DOMAIN}/sources">Connect a data source</a></p>
<p>You signed up. <a href="{LINK}">Unsubscribe</a></p>
<p>{ADDRESS}</p>
</body></html>
"""
SIGNATURE = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d={domain}; s=s1; t=1;\r\n h={names};\r\n bh=abc=;\r\n b=def=\r\n"
NAMES = "from:from:to:subject:list-unsubscribe:\r\n list-unsubscribe:list-unsubscribe-post"
UNSAFE = "".join(map(chr, [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)]))
LEGAL = st.text(st.characters(codec="utf-8", exclude_characters=UNSAFE), max_size=600)
LEGAL_LINE = st.text(st.characters(codec="utf-8", exclude_characters=UNSAFE + "\t\n\u2028\u2029"), max_size=200)


def look(change: Callable[[bytes], bytes] = lambda raw: raw, /, **changed: Any) -> list[str]:
    """The codes of what is found in a mail that is well but for `changed` words or settings and the `change` of its bytes."""
    words: dict[str, Any] = {"subject": SUBJECT, "html": HTML, "text": TEXT, "unsubscribe_url": LINK}
    arguments: dict[str, Any] = {
        "env": "production",
        "sender_domain": DOMAIN,
        "signing_domains": [DOMAIN],
        "postal_address": ADDRESS,
    }
    words |= {name: changed.pop(name) for name in words if name in changed}
    sender, is_signed = changed.pop("sender", f"Ledgerline <hello@{DOMAIN}>"), changed.pop("is_signed", True)
    raw = build(
        "0123456789abcdef",
        sender=sender,
        to_address="ada@customer.co",
        date=AT,
        sending_domain=DOMAIN,
        **words,
    ).raw
    if is_signed:
        raw = signature(DOMAIN) + raw
    return [finding.code for finding in lint(change(raw), draft(**words), **(arguments | changed))]


def draft(**words: Any) -> Draft:
    return Draft(
        message_id="0123456789abcdef",
        mode="template",
        mode_asked="template",
        fallback_reason=None,
        locale="en",
        preheader="",
        recipe={},
        **words,
    )


def signature(domain: str, names: str = NAMES) -> bytes:
    return SIGNATURE.format(domain=domain, names=names).encode()


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        assert old.encode() in raw
        return raw.replace(old.encode(), new.encode(), 1)

    return change


def without_part(kind: str) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        boundary = b"\r\n--" + raw.split(b'boundary="')[1].split(b'"')[0]
        pieces = raw.split(boundary)
        return boundary.join(piece for piece in pieces if f"text/{kind}".encode() not in piece)

    return change


def with_part(head: str) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        boundary = b"\r\n--" + raw.split(b'boundary="')[1].split(b'"')[0]
        return raw.replace(boundary + b"--", boundary + f"\r\n{head}\r\n\r\nHello".encode() + boundary + b"--")

    return change


def transactional(**changed: Any) -> dict[str, Any]:
    words = {"html": HTML.replace(f'<a href="{LINK}">Unsubscribe</a>', ""), "text": TEXT.replace(LINK, "-")}
    return {"unsubscribe_url": None} | words | changed


BREAKS: dict[str, list[Callable[[], list[str]]]] = {
    "bare_line_end": [
        lambda: look(replaced("Hi Ada,\r\n", "Hi Ada,\n")),
        lambda: look(replaced("Hi Ada,\r\n", "Hi Ada,\r")),
        lambda: look(lambda raw: raw + b"\r"),
    ],
    "header_too_long": [
        lambda: look(replaced("Auto-Submitted: auto-generated", "X-Long: " + "x" * 991)),
        lambda: look(replaced("Auto-Submitted: auto-generated", "X-Long: x\r\n " + "x" * 3000)),
    ],
    "header_missing": [
        lambda: look(replaced(f"Subject: {SUBJECT}\r\n", "")),
        lambda: look(replaced("To: ", "X-To: ")),
        lambda: look(replaced("Date: ", "X-Date: ")),
        lambda: look(replaced("Message-ID: ", "X-ID: ")),
        lambda: look(replaced("MIME-Version: ", "X-Version: ")),
        lambda: look(replaced(f"From: Ledgerline <hello@{DOMAIN}>\r\n", ""), signing_domains=None),
    ],
    "header_repeated": [
        lambda: look(replaced("To: ", "to: eve@customer.co\r\nTo: ")),
        lambda: look(replaced("Date: ", "Subject: another\r\nDate: ")),
        lambda: look(replaced("MIME-Version", "MIME-Version: 1.0\r\nMIME-Version")),
        lambda: look(replaced("To: ", "Reply-To: a@b.co\r\nREPLY-TO: c@d.co\r\nTo: ")),
    ],
    "foreign_sender": [
        lambda: look(sender=f"Ledgerline <hello@news.{DOMAIN}>"),
        lambda: look(sender=f"hello@{DOMAIN}.co", signing_domains=None),
    ],
    "signature_gap": [
        lambda: look(replaced("h=from:from:", "h=")),
        lambda: look(replaced("list-unsubscribe:\r\n list-unsubscribe:", "")),
        lambda: look(replaced(":list-unsubscribe-post", "")),
        lambda: look(lambda raw: signature("relay.co", "From : Subject") + raw, env="development"),
        lambda: look(replaced("h=from:from:", "h="), **transactional()),
    ],
    "list_unsubscribe": [
        lambda: look(replaced("List-Unsubscribe: ", "X-Unsubscribe: ")),
        lambda: look(replaced("List-Unsubscribe: ", f"List-Unsubscribe: <{LINK}>\r\nList-Unsubscribe: ")),
        lambda: look(replaced("List-Unsubscribe: ", "List-Unsubscribe: <https://other.co/u>, ")),
        lambda: look(replaced(f"List-Unsubscribe: <{LINK}>", f"List-Unsubscribe: <{LINK}x>")),
        lambda: look(replaced(f"List-Unsubscribe: <{LINK}>", "List-Unsubscribe: <mailto:leave@ledgerline.co>")),
        lambda: look(replaced("To: ", f"List-Unsubscribe: <{LINK}>\r\nTo: "), **transactional()),
    ],
    "list_unsubscribe_post": [
        lambda: look(replaced("List-Unsubscribe-Post: ", "X-Post: ")),
        lambda: look(replaced("=One-Click", "=one-click")),
        lambda: look(replaced("To: ", "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nTo: ")),
        lambda: look(replaced("To: ", "List-Unsubscribe-Post: x\r\nTo: "), **transactional()),
    ],
    "part_missing": [
        lambda: look(without_part("plain")),
        lambda: look(without_part("html")),
        lambda: look(replaced("multipart/alternative", "multipart/mixed")),
        lambda: look(text=" \n\n"),
        lambda: look(html=""),
        lambda: look(**transactional(text="")),
    ],
    "part_unexpected": [
        lambda: look(with_part("Content-Type: application/pdf")),
        lambda: look(with_part("Content-Type: text/html; charset=utf-8")),
        lambda: look(with_part("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt")),
        lambda: look(with_part("Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode")),
    ],
    "html_too_large": [
        lambda: look(html=HTML.replace("<p>", "<p>" + "word " * (MAX_HTML_BYTES // 5), 1)),
        lambda: look(html=HTML.replace("<p>", "<p>" + "日本語の " * (MAX_HTML_BYTES // 13), 1)),
    ],
    "postal_address": [
        lambda: look(text=TEXT.replace(ADDRESS, "Berlin")),
        lambda: look(html=HTML.replace(ADDRESS, "Berlin")),
        lambda: look(html=HTML.replace(ADDRESS, f"<!-- {ADDRESS} -->Berlin")),
        lambda: look(postal_address="Ledgerline GmbH, Nebenstr. 2, Berlin"),
        lambda: look(postal_address=" "),
    ],
    "unsubscribe_link": [
        lambda: look(text=TEXT.replace(LINK, "click in the other part")),
        lambda: look(text=TEXT.replace(LINK, LINK + "x")),
        lambda: look(html=HTML.replace(f'href="{LINK}"', 'href="https://ledgerline.co/"')),
        lambda: look(html=HTML.replace(">Unsubscribe<", "><")),
        lambda: look(html=HTML.replace(">Unsubscribe<", "><b> </b><")),
        lambda: look(html=HTML.replace(f'href="{LINK}"', f'href="{LINK}" style="display: none"')),
        lambda: look(html=HTML.replace(f'href="{LINK}"', f'href="{LINK}" style="color:#fff;font-size:0px"')),
        lambda: look(html=HTML.replace(f'<a href="{LINK}">Unsubscribe</a>', LINK)),
        lambda: look(html=HTML.replace(f'<a href="{LINK}">Unsubscribe</a>', f'<!-- <a href="{LINK}">Leave</a> -->')),
        lambda: look(html=HTML.replace(f'<a href="{LINK}">Unsubscribe</a>', f'<link href="{LINK}">Leave')),
    ],
    "placeholder": [
        lambda: look(subject="Hello {{ first_name }}"),
        *[
            (lambda mark=mark: look(text=TEXT.replace("data source", mark)))
            for mark in ("{{ x", "x }}", "{% if x %}", "${x}", "%%NAME%%", "*|FNAME|*", "<%= x %>", "[[ name ]]")
        ],
        *[
            (lambda mark=mark: look(html=HTML.replace("a data source", mark)))
            for mark in ("{{ x", "x }}", "{% if x %}", "${x}", "%%NAME%%", "*|FNAME|*", "[[name]]", "[object Object]")
        ],
        lambda: look(text=TEXT.replace("data source", "undefined")),
        lambda: look(html=HTML.replace("data source", "undefined")),
        lambda: look(html=HTML.replace(f"app.{DOMAIN}/sources", f"app.{DOMAIN}/undefined/sources")),
        lambda: look(html=HTML.replace(f"app.{DOMAIN}/sources", f"app.{DOMAIN}/%7B%7B id %7D%7D")),
        lambda: look(html=HTML.replace("<body>", "<body><style>p { a { b }}</style>").replace("Ada", "{{ name }}")),
    ],
    "nameless_greeting": [
        lambda: look(subject="None, connect a data source"),
        lambda: look(subject="Welcome to Ledgerline, null!"),
        lambda: look(text=TEXT.replace("Hi Ada", "Hi None")),
        lambda: look(text=TEXT.replace("Hi Ada", "Dear null")),
        lambda: look(text=TEXT.replace("Hi Ada,", "Hello there nan!")),
        lambda: look(text=TEXT.replace("Hi Ada", "Hi ")),
        lambda: look(text=TEXT.replace("Hi Ada", "Dear [First Name]")),
        lambda: look(text=TEXT.replace("Hi Ada", "Dear {user.name}")),
        lambda: look(html=HTML.replace("Hi Ada", "Hi None")),
        lambda: look(html=HTML.replace("Hi Ada", "Hi <b>None</b>")),
        lambda: look(html=HTML.replace("Hi Ada", "Hi <b></b>")),
        lambda: look(html=HTML.replace("Hi Ada", "\n  <b>Hello</b> nil")),
        lambda: look(html=HTML.replace("Hi Ada", "Dear&nbsp;NULL")),
        lambda: look(html=HTML.replace("Hi Ada", "Dear &lt;name&gt;")),
    ],
    "unsigned": [
        lambda: look(is_signed=False),
        lambda: look(is_signed=False, signing_domains=[]),
        lambda: look(replaced(f"d={DOMAIN}", "d=relay.co")),
        lambda: look(is_signed=False, **transactional()),
    ],
    "unaligned": [
        lambda: look(replaced(f"d={DOMAIN}", "d=relay.co"), signing_domains=["relay.co"]),
        lambda: look(replaced(f"d={DOMAIN}", f"d=x{DOMAIN}"), signing_domains=[f"x{DOMAIN}"]),
    ],
    "reserved_sender": [
        lambda: look(sender="hello@ledgerline.example", sender_domain="ledgerline.example", signing_domains=None)
    ],
    "reserved_link": [
        lambda: look(text=TEXT.replace(f"https://app.{DOMAIN}", "https://app.ledgerline.example")),
        lambda: look(html=HTML.replace(f"https://app.{DOMAIN}", "https://app.ledgerline.test")),
        lambda: look(html=HTML.replace(f"https://app.{DOMAIN}", "http://localhost:3000")),
        lambda: look(html=HTML.replace(f"https://app.{DOMAIN}", "//127.0.0.1")),
        lambda: look(html=HTML.replace("<p>", '<p><img src="https://x.invalid/a.png" alt="A">', 1)),
    ],
    "test_wording": [
        lambda: look(subject="Integration Test Email #1"),
        lambda: look(text="This template is used by integration tests only.\n" + TEXT),
    ],
}


@pytest.mark.parametrize(
    ("code", "breaks"),
    [pytest.param(code, one, id=f"{code}-{i}") for code in BREAKS for i, one in enumerate(BREAKS[code])],
)
def test_each_rule_refuses_what_it_is_for_and_only_that(code: str, breaks: Callable[[], list[str]]) -> None:
    assert breaks() == [code]


def test_every_rule_of_the_catalogue_is_broken_once_and_has_a_sentence() -> None:
    codes = [rule.code for rule in RULES]

    assert set(BREAKS) == set(codes)
    assert len(codes) == len(set(codes))
    assert all("\n" not in rule.sentence and len(rule.sentence) > 20 for rule in RULES)


def test_a_mail_that_is_well_passes_in_both_environments() -> None:
    assert look() == look(**transactional()) == []
    assert look(env="development", is_signed=False) == []
    assert look(is_signed=False, signing_domains=None) == []


def test_what_needs_no_reader_may_be_wrong_while_developing() -> None:
    """Demo domains, tests and unsigned mails are what development is made of; the environment lock keeps them in."""
    assert (
        look(
            env="development",
            is_signed=False,
            sender="hello@ledgerline.example",
            sender_domain="ledgerline.example",
            subject="Test",
            text=TEXT.replace(f"https://app.{DOMAIN}", "http://localhost:3000"),
        )
        == []
    )


def test_a_finding_names_what_it_found_in_one_line() -> None:
    raw = build(
        "m",
        sender=f"hello@{DOMAIN}",
        to_address="ada@customer.co",
        subject="Test",
        html=HTML.replace(f"app.{DOMAIN}", "app.ledgerline.example"),
        text=TEXT,
        unsubscribe_url=LINK,
        date=AT,
        sending_domain=DOMAIN,
    ).raw
    words = {"subject": "Test", "html": HTML, "text": TEXT, "unsubscribe_url": LINK}

    findings = lint(
        raw, draft(**words), env="production", sender_domain=DOMAIN, signing_domains=[DOMAIN], postal_address=ADDRESS
    )

    assert [finding.sentence for finding in findings] == [
        "a mail in production bears a DKIM signature of one of our domains; found no signature",
        "a link in production leads to a host that can be reached; found app.ledgerline.example",
        "no subject or first line in production is a test's; found Test",
    ]


def test_our_own_signatures_pass_whatever_their_number() -> None:
    keys = [SigningKey(domain, "s1", ed25519.Ed25519PrivateKey.generate()) for domain in (f"mail.{DOMAIN}", "relay.co")]

    assert look(lambda raw: signed(raw, keys, AT), is_signed=False, signing_domains=[key.domain for key in keys]) == []


def test_tags_of_a_signature_may_stand_in_any_order() -> None:
    foreign = f"DKIM-Signature: b=a=; bh=b=; h=From:List-Unsubscribe:\r\n\tList-Unsubscribe-Post;\r\n\td={DOMAIN.upper()}; v=1\r\n"

    assert look(lambda raw: foreign.encode() + raw, is_signed=False) == []


def test_an_encoded_part_is_read_as_a_reader_would() -> None:
    """Quoted-printable and base64: what stands in them is found, and an address in them is seen."""
    address = "Größe & Söhne, Straße 1,\n10827 Berlin"
    text = TEXT.replace(ADDRESS, address.replace(",\n", ",\n\t "))
    page = HTML.replace(ADDRESS, html.escape(address).replace("\n", "<br/>").replace("ß", "&szlig;"))
    words = {"text": text + "日本語 " * 300, "html": page + "ö"}

    assert look(postal_address=address, **words) == []
    assert look(postal_address=address, **(words | {"text": words["text"] + "{{ x }}"})) == ["placeholder"]
    assert look(postal_address=address, **(words | {"html": page.replace("Hi Ada", "Hi ö {{ x }}")})) == ["placeholder"]


def test_a_part_that_nobody_can_decode_is_no_part() -> None:
    broken = with_part("Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nx")

    assert look(lambda raw: broken(without_part("html")(raw))) == ["part_missing", "part_unexpected"]


@pytest.mark.parametrize(
    "change",
    [
        ("href=", "HREF ="),
        (f'href="{LINK}"', f"target=_blank href='{LINK}'"),
        (f'href="{LINK}"', f'href="{LINK}"\nstyle="text-decoration:none;font-size:0.9em;display:inline-block"'),
        (">Unsubscribe<", '><img src="https://cdn.ledgerline.co/u.png" alt="Unsubscribe"><'),
        (">Unsubscribe<", "><span><b>Leave</b></span><"),
        ("<body>", "<body><!--[if mso]><table><tr><td><![endif]--><!--[if !mso]><!-->"),
    ],
)
def test_an_unsubscribe_link_may_be_written_in_many_ways(change: tuple[str, str]) -> None:
    assert change[0] in HTML
    assert look(html=HTML.replace(*change)) == []


@pytest.mark.parametrize("after", ["", "\n", ".", ">", ")", " or write to us", ",\n"])
def test_an_unsubscribe_link_in_text_may_end_a_sentence(after: str) -> None:
    text = (
        f"Hi Ada,\n\n{ADDRESS}\n\nLeave: <{LINK}{after}"
        if after == ">"
        else f"Hi Ada,\n\n{ADDRESS}\n\nLeave: {LINK}{after}"
    )

    assert look(text=text) == []


def test_a_link_with_a_query_is_escaped_in_html() -> None:
    link = LINK + "?a=1&b=2"

    assert look(
        unsubscribe_url=link, text=TEXT.replace(LINK, link), html=HTML.replace(LINK, link.replace("&", "&amp;"))
    ) == []  # fmt: skip


def test_a_mailto_may_stand_beside_the_one_link() -> None:
    both = f"List-Unsubscribe: <mailto:leave@{DOMAIN}?subject=leave>,\r\n <{LINK}>"

    assert look(replaced(f"List-Unsubscribe: <{LINK}>", both)) == []


@pytest.mark.parametrize(
    "line",
    [
        "Integration Test Email #1",  # HBO Max, 17 June 2021
        "Test",
        "TEST",
        "test test 123",
        "Testing 1, 2, 3",
        "Testing, testing, one two three",
        "Tests",
        "Test #4",
        "\U0001f9ea Test!",
        "[TEST] Welcome to Ledgerline",
        "(test) Welcome to Ledgerline",
        "*** TEST *** Welcome",
        "[Staging] Your trial ends tomorrow",
        "[DRAFT] Our terms change",
        "TEST: Welcome to Ledgerline",
        "Test - please look at the footer",
        "Test \u2013 welcome",
        "Test mail",
        "Testmail",
        "test e-mail, version 3",
        "Test email from Postrider",
        "test_email",
        "QA test: welcome",
        "Smoke test message",
        "Template test",
        "Do not reply test",
        "Do-not-reply: test",
        "This is a test",
        "This is only a test.",
        "This is a test email",
        "Just a test",
        "A test of the new footer",
        "asdf",
        "asdfasdf",
        "qwerty",
        "Lorem ipsum dolor sit amet",
        "Welcome: lorem ipsum",
        "Please ignore this test",
        "This template is used by integration tests only.",  # HBO Max's first line
    ],
)
def test_a_subject_of_a_test_is_found(line: str) -> None:
    assert find_test_wording(line)
    assert look(subject=line) == ["test_wording"]


@pytest.mark.parametrize(
    "line",
    [
        "The latest from Ledgerline",
        "Latest: your weekly numbers",
        "Our photo contest starts today",
        "Contest winners are in",
        "Your test results are ready",  # a product's fact: it begins with whose they are
        "Test results for Harbor Foods",
        "A/B test results: variant B won",
        "A/B test: which subject works?",
        "Your A/B test has a winner",
        "Test your dashboard before Monday",
        "Test-driven reports, in five minutes",
        "Test drive the new editor",
        "Testing a new price? Read this first",
        "Tests show: short subjects work",
        "3 tests failed on main",
        "Integration tests failed on main",
        "Integration test suite passed",
        "Your integration with Stripe is live",
        "New integrations: Stripe and Adyen",
        "Your test email was delivered",
        "Your test account ends in 3 days",
        "Greatest hits of your quarter",
        "Protest routes on your commute",
        "Testimonials that sell",
        "Testament, Inc. invited you",
        "Draft reports are waiting for you",
        "Sample data is on its way",
        "Staging is cheaper from today",
        "Attest your numbers by Friday",
        "Please ignore this email if it wasn't you",
        "Do not reply: this box is not read",
        "Welcome to Ledgerline, Test",
        "There's room for your team in Acme [test]",
        "Is something in the way, Asdf?",
    ],
)
def test_a_subject_with_legitimate_words_passes(line: str) -> None:
    assert find_test_wording(line) is None
    assert look(subject=line) == []


@pytest.mark.parametrize(
    "greeting",
    [
        "Hi Null,",
        "Hi Nan,",
        "Dear Nina,",
        "Hello,",
        "Hi there,",
        "Bonjour !",
        "Welcome",
        "Hi None of you knows,",
        "Welcome $100 bonus takers,",
        "Welcome [beta] users,",
        "Hello world.",
        "History, none,",
        "Dear Ada,None",
    ],
)
def test_a_greeting_with_a_name_or_without_one_passes(greeting: str) -> None:
    """A person whose name is a programmer's word for nothing gets their mail: machines write it otherwise."""
    assert look(text=TEXT.replace("Hi Ada,", greeting), html=HTML.replace("Hi Ada,", greeting)) == []


@pytest.mark.parametrize(
    "words",
    [
        "100% of your seats, 20% off",
        "Use [A] or [B] * 2",
        "a[0][1] = 3 < 4",
        "Undefined is not a value",
        "Set {a: 1} and {b}",
        "It costs $5",
        "https://app.ledgerline.co/a%20b?c=d//e",
        "x // a comment",
        "write to me@host.example",
    ],
)
def test_signs_that_are_no_placeholders_pass(words: str) -> None:
    assert look(text=TEXT.replace("data source", words), html=HTML.replace("a data source", html.escape(words))) == []


@pytest.mark.parametrize(
    ("sender", "signer", "expected"),
    [
        ("example.com", "example.com", True),
        ("news.example.com", "example.com", True),
        ("example.com", "mail.example.com", True),
        ("news.example.com", "mail.example.com", True),
        ("News.Example.com", "EXAMPLE.com", True),
        ("a.shop.co.uk", "b.shop.co.uk", True),
        ("a.shop.com.au", "shop.com.au", True),
        ("shop.co.uk", "other.co.uk", False),
        ("example.com", "example.net", False),
        ("badexample.com", "example.com", False),
        ("example.com", "com", False),
        ("com", "com", False),
        ("", "example.com", False),
        ("example.de", "example.co.de", False),
    ],
)
def test_domains_are_aligned_when_they_are_of_one_organisation(sender: str, signer: str, expected: bool) -> None:
    assert is_aligned(sender, signer) is expected


@pytest.mark.parametrize(
    "location",
    [
        "a.example",
        "A.EXAMPLE.",
        "x.test:8080",
        "x.invalid",
        "localhost",
        "localhost:3000",
        "x.localhost",
        "printer.local",
        "ledger.internal",
        "example.com",
        "www.example.org/x",
        "127.0.0.1",
        "127.0.0.1:80",
        "10.0.0.1",
        "192.168.1.1",
        "[::1]:80",
        "0.0.0.0",
        "intranet",
        "user@localhost",
        "",
    ],
)
def test_a_host_that_nobody_can_reach_is_reserved(location: str) -> None:
    assert is_reserved_host(location)


@pytest.mark.parametrize(
    "location",
    [
        "ledgerline.co",
        "examples.co",
        "example.co",
        "test.io",
        "contest.de:443",
        "1.1.1.1",
        "a.co?b=c@localhost",
        "größe.de",
    ],
)
def test_a_host_that_only_looks_reserved_is_not(location: str) -> None:
    assert not is_reserved_host(location)


def assert_no_rule_of_form(codes: list[str]) -> None:
    """The rules about words may speak: any text can be `{{` or a link to localhost."""
    assert set(codes) <= {"placeholder", "nameless_greeting", "test_wording", "reserved_link"}


@settings(max_examples=100, deadline=None)
@given(subject=LEGAL_LINE, text=LEGAL, page=LEGAL, is_signed=st.booleans())
@example(subject="", text="", page="", is_signed=False)
@example(subject="=?utf-8?q?x?=", text="\r\n--=_", page="--\n.\n", is_signed=True)
@example(subject="é" * 200, text="From x\n" * 9, page="<body", is_signed=True)
def test_whatever_the_builder_makes_of_legal_text_is_well_formed(
    subject: str, text: str, page: str, is_signed: bool
) -> None:
    words = {"text": f"{text}\n{TEXT}", "html": HTML.replace("<p>", f"<p>{html.escape(page)}</p><p>", 1)}

    assert_no_rule_of_form(
        look(subject=subject, is_signed=is_signed, signing_domains=[DOMAIN] if is_signed else None, **words)
    )


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 1500), st.sampled_from(["", LINK]))
def test_bytes_that_are_no_mail_are_findings_and_no_error(noise: bytes, at: int, link: str) -> None:
    """A look that raises would stop a worker instead of one mail."""

    def spoilt(raw: bytes) -> bytes:
        return raw[:at] + noise + raw[at + len(noise) :]

    words = {"subject": SUBJECT, "html": HTML, "text": TEXT, "unsubscribe_url": link or None}
    settings_: dict[str, Any] = {"env": "production", "sender_domain": DOMAIN, "postal_address": ADDRESS}

    look(spoilt)
    assert lint(noise, draft(**words), signing_domains=[DOMAIN], **settings_)


def shipped(campaign: str, template: CompiledTemplate, kind: str, env: str) -> list[str]:
    """What is found in a shipped mail with everybody's or nobody's facts, under the default settings."""
    from dagster_project.lifecycle.template import Context

    chosen = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    facts: dict[str, object] = {}
    for name, fact in template.spec.facts.items():
        full = {"text": "W" * fact.max_chars, "number": 999_999, "date": "2026-09-30", "percent": 0.99}[fact.type]
        facts[name] = full if kind == "longest" or fact.required else None
    link = None if campaign == "payment_failed" else f"{chosen.public_url}/u/WyJ1MSIsInRpcHMiXQ.AbCd_-09"
    mail = template.render(facts, None, Context("Ledgerline", chosen.postal_address, campaign, link))
    domain = chosen.sender.rpartition("@")[2].rstrip(">")
    words = {"subject": mail.subject, "html": mail.html, "text": mail.text, "unsubscribe_url": link}
    raw = build(
        "m", sender=chosen.sender, to_address="ada@customer.example", date=AT, sending_domain=domain, **words
    ).raw  # fmt: skip
    findings = lint(
        raw,
        draft(**words),
        env=env,  # pyright: ignore[reportArgumentType]
        sender_domain=domain,
        signing_domains=(),
        postal_address=chosen.postal_address,
    )
    return [finding.code for finding in findings]


def test_every_shipped_mail_passes_while_developing_and_not_in_production_with_demo_settings() -> None:
    """Nothing leaves for real people under the demo company's name, with its links, without a signature."""
    templates = shipped_templates().templates

    assert len(templates) >= 11
    for (campaign, _), template in templates.items():
        for kind in ("longest", "least"):
            assert shipped(campaign, template, kind, "development") == []
            assert shipped(campaign, template, kind, "production") == ["unsigned", "reserved_sender", "reserved_link"]
