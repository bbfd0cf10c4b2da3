"""The benchmark of drafting measures what it says: every recipient drafted in the mode that is asked for. Never how fast."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import cases, draft, drafting

FIGURES = {"recipients", "seconds", "cpu_seconds", "before_mib", "peak_mib"}


@pytest.mark.slow
def test_a_short_run_drafts_everybody_and_counts_the_calls(tmp_path: Path) -> None:
    """Two repetitions of all cases, and a table with every one of them."""
    document = draft.measure(tmp_path, 200, 2)

    assert [set(one["cases"]) for one in document["repetitions"]] == [set(draft.TITLES)] * 2
    for one in document["repetitions"]:
        assert all(set(found) == FIGURES and found["recipients"] == 200 for found in one["cases"].values())
    counted = document["calls"]
    assert counted["winback"]["second"] == counted["all"]["second"] == 0
    assert 1 < counted["winback"]["first"] < counted["all"]["first"]
    text = draft.markdown(document)
    assert all(f"| {title} | 200 |" in text for title in draft.TITLES.values())
    assert str(tmp_path) not in text


def test_the_same_people_are_drafted_by_every_case() -> None:
    """Also when each process makes its own part; one in twenty lacks a name, another one a company."""
    whole = drafting.recipients(range(440))
    names = [one.facts["first_name"] for one in whole if "first_name" in one.facts]

    assert [one.message_id for one in whole] == [
        one.message_id for start in (0, 220) for one in drafting.recipients(range(start, start + 220))
    ]
    assert len({one.message_id for one in whole}) == 440
    assert 0 < names.count(None) <= len(names) / 10
    assert {one.campaign_id for one in drafting.recipients(range(40), ["winback"])} == {"winback"}


@pytest.mark.slow
def test_the_case_of_jinja_asks_jinja() -> None:
    """In its own process, so that the others are not slowed down."""
    found = cases.in_a_process("jinja", drafting.Order(50), module=draft.MODULE)

    assert found["recipients"] == 50
    assert drafting.Expression.render is not drafting.Expression.render_plainly
