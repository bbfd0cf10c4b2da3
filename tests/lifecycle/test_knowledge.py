"""What a writer may look up: strictly read, valid on the day, never more than its budget."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.knowledge import (
    Article,
    Consulted,
    Excerpt,
    FrontMatter,
    Knowledge,
    collected,
    read_article,
    read_consulted,
    split_front_matter,
    within,
)
from dagster_project.lifecycle.message import content_hash

FRONT = {
    "id": "alerts",
    "kind": "product_note",
    "campaigns": "all",
    "product_area": "alerts",
    "locales": ["en"],
    "valid_from": date(2026, 1, 1),
}
BODY = "# Alerts\n\nAn alert watches a number.\n\n## Setting one\n\nChoose the line.\n"
NOON = datetime(2026, 9, 1, 12)


def article(body: str = BODY, file: str = "templates/knowledge/a.md", **changes: object) -> Article:
    return read_article({**FRONT, **changes}, body, file)


def test_an_article_is_cut_at_its_headings() -> None:
    """Each section by itself says what it is about; its hash is over all that a writer is shown."""
    first, second = article(grounds=True).excerpts

    assert (first.id, first.title, first.text) == ("alerts#1", "Alerts", "An alert watches a number.")
    assert (second.id, second.shown) == ("alerts#2", "Alerts: Setting one\nChoose the line.")
    assert second.hash == content_hash(second.content)
    assert second.hash != article().excerpts[1].hash, "whether it may be said is part of what a writer is told"


def test_what_looks_like_a_heading_inside_code_cuts_nothing() -> None:
    """Nor does a heading of the third level."""
    (only,) = article("# Alerts\n\n```\n# no heading\n## nor this\n```\n\n### Deeper\n\nText.").excerpts

    assert "## nor this" in only.text and "### Deeper" in only.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kindd": "x"}, "front matter: found unknown key 'kindd' (did you mean 'kind'?)"),
        ({"kind": "poem"}, "front matter.kind: found 'poem', allowed is brand_voice, product_note"),
        ({"valid_from": "2026-13-01"}, "front matter.valid_from: found '2026-13-01', allowed is a date such as 2026-03-14"),
        ({"valid_to": date(2025, 1, 1)}, "front matter.valid_to: found '2025-01-01', allowed is 2026-01-01 or later"),
        ({"campaigns": []}, "front matter.campaigns: found [], allowed is all, or a list of campaign_ids"),
        ({"locales": "en"}, "front matter.locales: found 'en', allowed is all, or a list of locales"),
        ({"id": "An Alert"}, "front matter.id: found 'An Alert', allowed is a name of small letters"),
        ({"grounds": "yes"}, "front matter.grounds: found 'yes', allowed is true or false"),
        ({"kind": "brand_voice", "grounds": True}, "front matter.grounds: found true, allowed is false for brand_voice"),
        ({"kind": "approved_mail", "grounds": True}, "front matter.grounds: found true, allowed is false for approved_mail"),
    ],
)  # fmt: skip
def test_a_wrong_front_matter_is_told_by_file_and_key(change: dict[str, object], words: str) -> None:
    """In one line, with what is allowed."""
    with pytest.raises(InputError) as refused:
        article(**change)

    assert str(refused.value).startswith(f"templates/knowledge/a.md: {words}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", list(FRONT))
def test_a_key_that_is_missing_is_named(key: str) -> None:
    """Nothing is guessed from the file's name or place."""
    front = {name: value for name, value in FRONT.items() if name != key}

    with pytest.raises(InputError, match=rf"front matter\.{key}: found nothing"):
        read_article(front, BODY, "templates/knowledge/a.md")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Just text.", "found no title above the text"),
        ("# Alerts\n", "found a title and no text"),
        ("# Alerts\n\ntext\n\n# Again\n\ntext", "Again: found a second title"),
        ("## Alerts\n\ntext", "found no title above the text"),
        ("# Alerts\n\n" + "word " * 300, "Alerts: found 1,506 characters, allowed: 1,200 under one heading"),
        ("# Alerts\n\nSee https://evil.example for it.", "Alerts: found 'https://' reads as an address"),
        ("# Alerts\n\nSee [here](evil.example).", "Alerts: found 'evil.example' reads as an address"),
        ("# Alerts\n\nHid\u200bden", "Alerts: found holds a character that nobody sees (ZERO WIDTH SPACE)"),
        ("# Alerts\n\nTag\U000e0041ged", "Alerts: found holds a character that nobody sees (TAG LATIN CAPITAL LETTER A)"),
        ("# Alerts\n\nTurn \u202eround", "Alerts: found holds a character that nobody sees (RIGHT-TO-LEFT OVERRIDE)"),
    ],
)  # fmt: skip
def test_a_body_that_no_writer_should_see_is_refused(body: str, words: str) -> None:
    """What hides words, and what no mail may hold, is told where somebody can mend it."""
    with pytest.raises(InputError) as refused:
        article(body)

    assert str(refused.value).startswith(f"templates/knowledge/a.md: {words}")


def test_a_file_begins_with_its_front_matter() -> None:
    """With any line ends, and a byte order mark before it."""
    assert split_front_matter("\ufeff---\r\nid: a\r\n---\r\n# A\r\n", "f") == ("id: a\r\n", "# A\r\n")
    for source in ("# A\n", "---\nid: a\n# A\n", ""):
        with pytest.raises(InputError, match="f:1: found no front matter"):
            split_front_matter(source, "f")


def test_an_id_is_one_files_own() -> None:
    """Both are named."""
    with pytest.raises(InputError) as refused:
        collected([article(file="b.md"), article(file="a.md")])

    assert str(refused.value) == ("b.md: front matter.id: found 'alerts', which a.md has; allowed: one of its own")


@pytest.mark.parametrize(
    ("changes", "at", "campaign", "locale", "areas", "is_seen"),
    [
        ({}, NOON, "winback", "en", (), True),
        ({}, NOON, "winback", "en-GB", (), True),
        ({}, NOON, "winback", "de", (), False),
        ({"locales": "all"}, NOON, "winback", "ja", (), True),
        ({"locales": ["de-AT"]}, NOON, "winback", "de", (), False),
        ({"campaigns": ["welcome"]}, NOON, "winback", "en", (), False),
        ({"campaigns": ["welcome", "winback"]}, NOON, "winback", "en", (), True),
        ({}, NOON, "winback", "en", ("billing",), False),
        ({}, NOON, "winback", "en", ("billing", "alerts"), True),
        ({"kind": "brand_voice"}, NOON, "winback", "en", ("billing",), True),
        ({}, datetime(2025, 12, 31, 23, 59), "winback", "en", (), False),
        ({}, datetime(2026, 1, 1), "winback", "en", (), True),
        ({"valid_to": date(2026, 9, 1)}, datetime(2026, 9, 1, 23, 59), "winback", "en", (), True),
        ({"valid_to": date(2026, 9, 1)}, datetime(2026, 9, 2), "winback", "en", (), False),
    ],
)  # fmt: skip
def test_a_writer_sees_what_is_meant_for_it_and_valid_then(
    changes: dict[str, object], at: datetime, campaign: str, locale: str, areas: tuple[str, ...], is_seen: bool
) -> None:
    """By campaign, locale or its language, product area, and the days of validity; a brand has one voice in all areas."""
    found = Knowledge((article(**changes),)).eligible(campaign, locale, at, areas)

    assert bool(found) is is_seen


EXCERPTS = st.lists(
    st.builds(
        lambda number, size: Excerpt(f"a#{number}", "help_article", "T", "x" * size),
        st.integers(0, 10_000),
        st.integers(1, 500),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(EXCERPTS, st.integers(0, 2_000), st.integers(0, 6))
def test_no_context_is_larger_than_its_budget(found: list[Excerpt], chars: int, most: int) -> None:
    """Excerpts stay whole and in their order; what would have fitted was taken, unless there were enough."""
    taken = within(found, chars, most)
    used = sum(len(one.shown) for one in taken)

    assert used <= chars and len(taken) <= most
    places = iter(found)
    assert all(one in places for one in taken)
    if len(taken) < most:
        left_out = [one for one in found if all(one is not other for other in taken)]
        assert all(len(one.shown) > chars - used for one in left_out)


def test_a_recipe_names_what_was_consulted_and_holds_its_bytes() -> None:
    """From the one hash on the draft, the list; from the list, each excerpt as it was shown. Nothing consulted, nothing named."""
    consulted = Consulted(article().excerpts, "bm25")
    kept = consulted.artifacts

    assert all(content_hash(content) == digest for digest, content in kept.items())
    told = read_consulted(kept[consulted.recipe["knowledge"]])
    assert told["ranked_by"] == "bm25"
    assert [one["id"] for one in told["excerpts"]] == ["alerts#1", "alerts#2"]
    assert "An alert watches a number." in kept[told["excerpts"][0]["hash"]].decode()
    assert (Consulted().artifacts, Consulted().recipe) == ({}, {})


def test_front_matter_says_what_each_key_may_hold() -> None:
    """The first sentence of a description ends the error line."""
    assert all(field.description for field in FrontMatter.model_fields.values())
