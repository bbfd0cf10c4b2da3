"""Taking a built message apart gives what went into it, for whatever text went in."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.adapters.channels.reading import UnsuitableError, read_parts, read_subject
from dagster_project.lifecycle.mime import Built, build, read_sender
from dagster_project.lifecycle.mime_encoding import BuildError

ANYTHING = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80)


def mail(**changes: str) -> Built:
    arguments = {"sender": "hello@ledgerline.example", "subject": "Hello", "text": "Hello\n", "html": "<p>Hello</p>\n"}
    return build(
        "message-1",
        **(arguments | changes),
        to_address="ada@customer.example",
        unsubscribe_url="https://mail.ledgerline.example/u/" + "x" * 300,
        date=datetime.fromisoformat("2026-11-21T09:00:00"),
        sending_domain="ledgerline.example",
        extra={"X-Campaign": "a b"},
    )


@given(name=ANYTHING, subject=ANYTHING, text=ANYTHING, html=ANYTHING)
def test_the_parts_are_those_it_was_built_from(name: str, subject: str, text: str, html: str) -> None:
    """What may not be built (control characters, say) is the builder's business."""
    sender = f"{name} <hello@ledgerline.example>"
    try:
        built = mail(sender=sender, subject=subject, text=text, html=html)
    except BuildError:
        return

    parts = read_parts(built)

    assert (parts.sender_name, parts.sender_address) == (read_sender(sender).name, "hello@ledgerline.example")
    assert parts.subject == read_subject(built) == subject
    assert (parts.text, parts.html) == (text.replace("\r\n", "\n"), html.replace("\r\n", "\n"))


@pytest.mark.parametrize(
    "name", ["Grüße, Söhne", '"Ada \\"Sales\\" B."', "名前" * 20, "", "O'Neil", "Über " * 12 + "uns", "Ada (Sales)"]
)
def test_a_name_in_several_encoded_words_stays_one_name(name: str) -> None:
    sender = f"{name} <hello@ledgerline.example>"

    assert read_parts(mail(sender=sender)).sender_name == read_sender(sender).name


def test_headers_are_kept_whole_and_those_of_every_message_are_not_among_them() -> None:
    assert read_parts(mail()).headers == (
        ("List-Unsubscribe", "<https://mail.ledgerline.example/u/" + "x" * 300 + ">"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Campaign", "a b"),
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"From: hello@ledgerline.example\r\n\r\nonly text\r\n",
        mail().raw.replace(b"text/html", b"text/other"),
        mail().raw.replace(b"From: ", b"X-From: "),
        mail().raw.replace(b"<p>Hello</p>", b"<p>\xff</p>"),
    ],
    ids=["nothing", "text", "no_html", "no_from", "not_utf_8"],
)
def test_what_is_no_message_of_ours_is_refused(raw: bytes) -> None:
    with pytest.raises(UnsuitableError):
        read_parts(dataclasses.replace(mail(), raw=raw))
