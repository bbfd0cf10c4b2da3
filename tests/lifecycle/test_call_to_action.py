"""The link to follow: the message's own, never one that only looks like it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.call_to_action import MAX_LINK_CHARS, call_to_action
from dagster_project.lifecycle.template import Context
from tests.shipped import shipped_templates

LINK = "https://app.ledgerline.example/start?a=1&b=2"
UNSUBSCRIBE = "https://mail.ledgerline.example/u/token"
TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.mark.parametrize(
    "html",
    [
        f'<a href="{LINK}">Start</a>',
        '<p>Hi</p><A class="b"\nHREF = "https://app.ledgerline.example/start?a=1&amp;b=2" style="x">Start</A>',
        f"<a href='{LINK}'>Start</a>",
        f'<a href="{UNSUBSCRIBE}">Unsubscribe</a><a href="{LINK}">Start</a><a href="https://other.example">Other</a>',
        f'<a name="top"></a><a href=" {LINK} ">Start</a>',
        f'<!--[if mso]><a href="https://outlook.example">Start</a><![endif]--><a href="{LINK}">Start</a>',
        f'<!--[if !mso]><!--><a href="{LINK}">Start</a><!--<![endif]-->',
    ],
)
def test_the_first_link_is_the_one(html: str) -> None:
    assert call_to_action(html, UNSUBSCRIBE) == LINK


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<p>https://app.ledgerline.example</p>",
        f'<a href="{UNSUBSCRIBE}">Unsubscribe</a>',
        '<a href="http://app.ledgerline.example">Start</a>',
        '<a href="javascript:alert(1)">Start</a>',
        '<a href="java&#10;script:alert(1)">Start</a>',
        '<a href="https://app.ledgerline.example/&quot;onclick=x">Start</a>',
        '<a href="https://app.ledgerline.example/\nx">Start</a>',
        f'<a href="https://{"x" * MAX_LINK_CHARS}">Start</a>',
        '<link href="https://app.ledgerline.example/">',
        '<a data-href="https://app.ledgerline.example/">Start</a>',
        '<!-- <a href="https://app.ledgerline.example/">Start</a>',
        '&lt;a href="https://app.ledgerline.example/"&gt;',
    ],
)
def test_what_is_no_https_link_to_follow_is_none(html: str) -> None:
    assert call_to_action(html, UNSUBSCRIBE) is None


@given(st.text())
def test_any_text_gives_an_https_link_or_none(text: str) -> None:
    found = call_to_action(f'<a href="{text}">')

    assert found is None or (found.startswith("https://") and not set(found) & set(" <>\"'\\\r\n\t\0"))


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", '<a href="', "<a href='x' ", "<a\t\t\t", " href=", "<a" + " href= " * 9_999]
)
def test_no_html_takes_long_to_look_through(piece: str) -> None:
    """The library's parser reads 256 kB of `<a ` for minutes, while this is asked with the ledger's lock held."""
    html = (piece * (262_144 // len(piece) + 1))[:262_144]
    started = time.perf_counter()

    assert call_to_action(html) is None
    assert call_to_action(html[:-1] + ">") is None
    assert time.perf_counter() - started < 1


def test_each_campaigns_mail_has_its_own_first_link() -> None:
    library, wrong = shipped_templates(), {}
    for file in sorted(TEMPLATES.glob("emails/*/*/template.yml")):
        campaign, variant = file.parts[-3:-1]
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))
        facts = {name: _fact(fact["type"]) for name, fact in spec.get("facts", {}).items()}
        context = Context("Ledgerline", "Street 1", "A title", UNSUBSCRIBE)
        link = call_to_action(library.get(campaign, variant).render(facts, None, context).html, UNSUBSCRIBE)
        if link not in [cta["url"] for cta in spec["ctas"].values()]:
            wrong[campaign] = link

    assert wrong == {}


def _fact(kind: str) -> object:
    return {"number": 3, "percent": 0.5, "date": "2026-03-14"}.get(kind, "words")


def test_naughty_strings_give_no_link(shared_data: Path) -> None:
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))
    found = {link for string in strings if (link := call_to_action(string))}

    assert found == set()
