"""An eval beside an earlier one and beside its thresholds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.evals.comparing import difference, failed, read_report, read_thresholds
from dagster_project.lifecycle.evals.figures import MEASURES, Figures


def report(**measures: float | None) -> dict[str, Any]:
    row = Figures().as_json()
    row["measures"] |= {"clarity": 4.5, "fallbacks": 0.1, "dollars": 0.2} | measures
    case = {"campaign_id": "winback", "variant": "default", "mode": "assisted", "locale": "de"}
    return {
        "contexts": "c",
        "prompts": {"writer": "w1"},
        "models": ["m"],
        "cases": [case | row],
        "all": copy.deepcopy(row),
    }


def test_the_same_report_twice_differs_in_nothing() -> None:
    found = difference(report(), report())

    assert (found["inputs"], found["all"], found["cases"], found["is_comparable"]) == ({}, {}, [], True)


def test_what_differs_is_told_with_both_figures() -> None:
    """Of measures and of words; what was measured is named where it is another."""
    head = report(clarity=4.0)
    head["prompts"]["writer"] = "w2"
    head["cases"][0]["rejections"] = {"guard:link": 2}
    found = difference(report(), head)

    assert found["inputs"] == {"prompts": [{"writer": "w1"}, {"writer": "w2"}]}
    assert found["cases"][0]["measures"] == {"clarity": [4.5, 4.0]}
    assert found["cases"][0]["rejections"] == {"guard:link": [0, 2]}
    assert found["all"] == {"measures": {"clarity": [4.5, 4.0]}}


def test_rows_that_one_side_lacks_are_named_and_totals_are_not_compared() -> None:
    head = report(clarity=1.0)
    head["cases"][0]["locale"] = "fr"
    found = difference(report(), head)

    assert found["only_in_base"] == ["winback default assisted de"]
    assert found["only_in_head"] == ["winback default assisted fr"]
    assert found["all"] == {}


def test_a_threshold_is_passed_below_or_above_and_not_at_it() -> None:
    """Sums are held against the whole alone; what isn't measured passes none."""
    thresholds = read_thresholds(["clarity=4.6", "tone=3"], ["fallbacks=0.1", "dollars=0.1"])

    assert failed(report(), thresholds) == [
        "winback default assisted de: clarity 4.5, below 4.6",
        "all: clarity 4.5, below 4.6",
        "all: dollars 0.2, above 0.1",
    ]


@pytest.mark.parametrize("text", ["clarity", "clarity=", "clarity=nan", "charm=4", "=4"])
def test_a_threshold_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--fail-below .*allowed: measure=number, of clarity, one_action"):
        read_thresholds([text], [])


def test_every_measure_has_a_figure() -> None:
    assert tuple(Figures().measures()) == MEASURES


@pytest.mark.parametrize(
    "raw", [[], {}, {"cases": []}, {**report(), "cases": [{}]}, {**report(), "all": {"measures": 1}}]
)
def test_a_file_that_is_no_report_is_refused(raw: object) -> None:
    with pytest.raises(InputError, match=r"^r\.json: found "):
        read_report(raw, "r.json")
