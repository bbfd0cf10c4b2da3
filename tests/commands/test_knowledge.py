"""`postrider knowledge`: what a writer would be shown, told before anybody asks a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.commands.knowledge import problems
from dagster_project.home import Home

pytestmark = pytest.mark.slow  # the dbt project is read

Call = Callable[..., tuple[int, str, str]]


def test_the_articles_are_listed_with_when_they_hold(make_home: Callable[..., Home], call: Call) -> None:
    """Each once; on a day before them none is valid."""
    make_home()
    code, out, _ = call("knowledge", "list", "--json")
    told = json.loads(out)

    assert code == 0
    assert {one["kind"] for one in told["articles"]} == {"brand_voice", "product_note", "help_article", "approved_mail"}
    assert all(one["is_valid"] for one in told["articles"])
    _, out, _ = call("knowledge", "list", "--as-of", "2025-12-31", "--json")
    assert not any(one["is_valid"] for one in json.loads(out)["articles"])
    code, out, _ = call("knowledge", "list")
    assert code == 0 and "voice-ja" in out and "at most 4 excerpts of 2,000 characters" in out


def test_a_search_shows_what_a_writer_would_get(make_home: Callable[..., Home], call: Call) -> None:
    """The voice of the locale first, then the best; what the budget shuts out is shown as such. Nothing is written, nobody asked."""
    home = make_home(knowledge_chars=700)
    code, out, _ = call(
        "knowledge", "search", "why try alerts", "--campaign", "feature_next", "--locale", "de", "--json"
    )
    found = json.loads(out)["found"]

    assert code == 0
    assert [one["id"] for one in found][:2] == ["voice-de#1", "alerts#1"]
    assert sum(one["chars"] for one in found if one["is_shown"]) <= 700
    assert not all(one["is_shown"] for one in found)
    assert not home.settings.warehouse_path.exists()
    code, out, _ = call("knowledge", "search", "why try alerts", "--campaign", "feature_next")
    assert code == 0 and "alerts#1" in out
    code, out, err = call("knowledge", "search", "alerts", "--campaign", "feature_nxt")
    assert code == 2 and "feature_nxt: unknown; allowed are" in err and out == ""


def test_a_check_finds_what_nobody_would_see(make_home: Callable[..., Home], project: Path) -> None:
    """An article of a campaign that isn't there, an area that no article is of, an excerpt above the budget."""
    home = make_home(project=project, knowledge_chars=390)
    article = project / "templates" / "knowledge" / "help" / "trial.md"
    article.write_text(article.read_text().replace("trial_ending", "trial_endng"))
    template = project / "templates" / "emails" / "winback" / "default" / "template.yml"
    template.write_text(template.read_text() + "product_areas: [reports, billng]\n")

    count, found = problems(home)

    assert count == 25
    assert [line.split(": found ")[0] for line in found[:2]] == [
        "templates/knowledge/help/trial.md: front matter.campaigns",
        "templates/emails/winback/default/template.yml: product_areas",
    ]
    assert "'trial_endng', allowed are" in found[0] and "'billng', of which no article is" in found[1]
    assert all("more than POSTRIDER_KNOWLEDGE_CHARS (390)" in line for line in found[2:]) and len(found) > 2


def test_a_broken_article_stops_a_tick_before_it_begins(
    make_home: Callable[..., Home], project: Path, call: Call
) -> None:
    """With its file and key, and exit code 2."""
    make_home(project=project)
    article = project / "templates" / "knowledge" / "help" / "trial.md"
    article.write_text(article.read_text().replace("kind: help_article", "kind: help"))

    code, _, err = call("knowledge", "list")

    assert code == 2
    assert err.startswith("postrider: templates/knowledge/help/trial.md: front matter.kind: found 'help', allowed is")
