"""A compiled template: what reaches the eye, whatever the facts are."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.adapters.compiled import COMPILED, CompiledTemplate
from dagster_project.adapters.expressions import Expression
from dagster_project.adapters.templates import load_templates
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.template import Context, Rendered, TemplateSpec, canonical
from tests.shipped import CAMPAIGNS, shipped_templates

ROOT = Path(__file__).parents[2]
CONTEXT = Context(
    "Ledgerline", "Ledgerline GmbH, Hauptstr. 1, 10827 Berlin", "A title", "https://mail.ledgerline.example/u/a?b=1&c=2"
)
SAMPLES = {"text": "Harbor", "number": 3, "date": "2026-03-14", "percent": 0.5}


@cache
def shipped() -> dict[str, CompiledTemplate]:
    library = shipped_templates()
    return {campaign: library.get(campaign, "default") for campaign in library.campaigns}


def sample_facts(spec: TemplateSpec) -> dict[str, object]:
    return {name: SAMPLES[fact.type] for name, fact in spec.facts.items()}


class Tags(HTMLParser):
    """Every tag of a document with its attributes' names: the skeleton that facts must not change."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, ...]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, *(name for name, _ in attrs)))


def render_with(template: CompiledTemplate, text: str | None) -> Rendered | None:
    """All text facts are `text`, and so is every slot. None when a required fact has nothing to show."""
    names = [name for name, fact in template.spec.facts.items() if fact.type == "text"]
    facts = sample_facts(template.spec) | dict.fromkeys(names, text)
    try:
        return template.render(facts, dict.fromkeys(template.spec.slots, text or "Words."), CONTEXT)
    except InputError as error:
        if "found null, allowed: a text" in str(error):
            return None
        raise


def check_harmless(template: CompiledTemplate, text: str) -> None:
    """The mail's skeleton is the one it has with a harmless name, or with none; or the mail is not made."""
    mail = render_with(template, text)
    if mail is None:
        return
    skeletons = [
        Tags(plain.html).seen for plain in (render_with(template, "Harbor"), render_with(template, None)) if plain
    ]

    assert Tags(mail.html).seen in skeletons
    assert len(mail.subject.splitlines()) == len(mail.preheader.splitlines()) == 1
    assert (mail.subject + mail.preheader + mail.html + mail.text).encode()


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(min_size=1, max_size=120))
def test_no_fact_breaks_a_mail(campaign: str, text: str) -> None:
    """Any text as any fact: the same tags, one-line subject and preheader, encodable."""
    check_harmless(shipped()[campaign], text)


@pytest.mark.parametrize("campaign", ["welcome", "feature_next"])
@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="<>&\"'{}%#/\\`=;:()[]!- \n\r\u2028scriptondx", min_size=1, max_size=60))
def test_no_markup_in_a_fact_reaches_the_html(campaign: str, text: str) -> None:
    """Mostly punctuation, so that more of it is markup."""
    check_harmless(shipped()[campaign], text)


def test_naughty_strings_break_nothing(shared_data: Path) -> None:
    """All of the big list, as name, company and slot text."""
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))

    assert len(strings) > 500
    for text in strings:
        check_harmless(shipped()["welcome"], text)


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_a_shipped_mail_has_all_that_a_mail_must_have(campaign: str) -> None:
    """Both parts with link, reason, address; nothing unrendered; nothing loaded from elsewhere; small enough."""
    template = shipped()[campaign]
    mail = template.render(sample_facts(template.spec), None, CONTEXT)
    url = template.spec.ctas["main"].url

    assert len(template.spec.ctas) == 1  # one thing to do
    for part in (mail.html.replace("&amp;", "&"), mail.text):
        assert url in part
        assert str(CONTEXT.unsubscribe_url) in part
        assert CONTEXT.postal_address in part
        assert template.spec.why.replace("'", "&#39;" if part is not mail.text else "'") in part
    assert not re.search(
        r"\{\{|\}\}|\{%|%\}|jinja0x|None|undefined", mail.subject + mail.preheader + mail.html + mail.text
    )
    assert not re.search(r"<(?:img|script|link|iframe|form)\b|@import|url\(", mail.html)
    assert f"<title>{mail.subject}</title>".replace("'", "&#39;") in mail.html
    assert len(mail.html) < 20_000  # Gmail clips at about 102 kB
    assert 10 < len(mail.subject) <= 78
    assert 20 < len(mail.preheader) <= 110


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_a_transactional_mail_has_no_unsubscribe_link(campaign: str) -> None:
    """The same template without the address of one."""
    template = shipped()[campaign]
    mail = template.render(sample_facts(template.spec), None, Context("L", "Street 1", "T", None))

    assert "nsubscribe" not in mail.html.replace("unsubscribed", "") + mail.text


def test_a_mail_without_a_name_still_greets() -> None:
    """Null facts have words of their own."""
    mail = shipped()["welcome"].render(
        {"first_name": None, "account_name": None, "next_setup_step": None}, None, CONTEXT
    )

    assert mail.subject == "Welcome to Ledgerline"
    assert mail.text.startswith("Hi there,\n\nThanks for bringing your team to Ledgerline.")
    assert "Your workspace is set up already" in mail.text


def test_a_mail_reads_well_alone_as_text() -> None:
    """The whole of one, as its reader sees it."""
    facts = {"first_name": "Ana", "account_name": "Harbor & Vine", "plan": "team", "payment_failed_on": "2026-03-02"}
    mail = shipped()["payment_failed"].render(facts, None, Context("Ledgerline", "Street 1", "T", None))

    assert mail.text == (
        "Hi Ana,\n\n"
        "We tried to collect the payment for Harbor & Vine, and it was declined. Often the reason is small, "
        "such as a card that has expired.\n\n"
        "  Plan: Team\n  Declined on: March 2, 2026\n\n"
        "Please check your payment details, so that your plan carries on without a break.\n\n"
        "Update payment details:\nhttps://app.ledgerline.example/billing/payment\n\n"
        "You'll be asked to sign in first. We never ask for card details by email.\n\n"
        "The Ledgerline team\n\n"
        "--\n"
        "This is a billing notice for your Ledgerline account. It comes whatever your email settings are.\n\n"
        "Street 1\n"
    )


def test_a_slot_text_stands_in_both_parts() -> None:
    """Escaped in one, plain in the other, and the slot beside it keeps its own words."""
    template = shipped()["welcome"]
    mail = template.render(sample_facts(template.spec), {"opening": "Fish & chips."}, CONTEXT)

    assert "Fish &amp; chips." in mail.html
    assert "Fish & chips." in mail.text
    assert "A good place to start: Harbor." in mail.text


def test_the_version_is_the_hash_of_everything_behind_it() -> None:
    """Layouts and compiled HTML included, so that old mails can be rebuilt with a newer compiler."""
    template = shipped()["welcome"]

    assert sorted(template.parts) == [
        "body.mjml.j2",
        "body.txt.j2",
        COMPILED,
        "layouts/default.mjml.j2",
        "layouts/default.txt.j2",
        "subject.txt.j2",
        "template.yml",
    ]
    assert template.version == content_hash(canonical({name: part.hash for name, part in template.parts.items()}))
    assert len({each.version for each in shipped().values()}) == len(shipped())
    assert len({each.layout_hash for each in shipped().values()}) == 1


def test_the_html_can_be_rebuilt_from_the_stored_part_alone() -> None:
    """Byte for byte, without MJML or the inliner."""
    template = shipped()["winback"]
    facts = {"first_name": "Ana", "account_name": "Harbor", "weeks_away": 5}
    mail = template.render(facts, None, CONTEXT)

    stored = Expression(template.parts[COMPILED].content.decode(), "stored", is_html=True)
    values = {**facts, "sender_name": CONTEXT.sender_name, "postal_address": CONTEXT.postal_address}
    values |= {"unsubscribe_url": CONTEXT.unsubscribe_url, "why": template.spec.why, "cta": template._cta}
    values |= {"slots": {"opening": None, "invitation": None}, "subject": mail.subject, "preheader": mail.preheader}

    assert stored.render(values) == mail.html


def test_loading_twice_gives_the_same_versions() -> None:
    """Compiling is deterministic."""
    again = load_templates(ROOT / "templates")

    assert {name: again.get(name, "default").version for name in again.campaigns} == {
        name: template.version for name, template in shipped().items()
    }
