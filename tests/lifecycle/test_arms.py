"""Rates of two arms, with intervals that know that people of one pattern read the same words."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dagster_project.lifecycle.arms import Rate, clustered, compared, difference, needed, wilson


@dataclasses.dataclass
class Message:
    trial: Mapping[str, Any]
    fallback_reason: str | None = None
    caution: str | None = None
    verdict: str | None = None
    is_sent: bool = True
    was_read: bool | None = None
    reasons: Sequence[str] = ()


def message(arm: str, pattern: int, propensity: float = 0.5, **changes: Any) -> Message:
    return Message({"arm": arm, "pattern": f"{arm}{pattern}", "propensity": propensity}, **changes)


def test_wilsons_interval_is_the_one_of_the_books() -> None:
    """Known values; none for nothing."""
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_newcombes_interval_is_the_one_of_his_paper() -> None:
    """56 of 70 and 48 of 80: 0.0524 to 0.3339."""
    found = difference(Rate(56, 70, 70), Rate(48, 80, 80))
    assert found is not None

    assert found["share"] == 0.2
    assert found["interval"] == pytest.approx([0.0524, 0.3339], abs=1e-3)
    assert found["is_known"]


def test_an_arm_without_anything_has_no_difference() -> None:
    assert difference(Rate(0, 0, 0), Rate(1, 2, 2)) is None


def test_so_many_are_needed_as_the_usual_formula_has_it() -> None:
    """Half against 60 %: about 387 each."""
    assert 380 < needed(Rate(5_000, 10_000, 10_000), 0.1) < 395
    assert needed(Rate(0, 0, 0), 0.05) > needed(Rate(0, 0, 0), 0.1)


def test_people_of_one_pattern_who_do_alike_count_as_one() -> None:
    """Ten patterns of a hundred, each all or nothing, are ten draws; where patterns don't matter they are a thousand."""
    alike = clustered([(100 * (number % 2), 100) for number in range(10)])
    assert 5 < alike.effective <= 10
    draw = random.Random(7)
    mixed = clustered([(sum(draw.random() < 0.3 for _ in range(100)), 100) for _ in range(10)])
    assert mixed.effective > 300
    assert clustered([(0, 100), (0, 100)]).effective == 2, "of nothing that happened nothing is known of its spread"
    assert clustered([]) == clustered([(0, 0)])


def test_intervals_of_alike_patterns_hold_the_truth() -> None:
    """95 % of them, about, where each pattern has a rate of its own; as if alone they would hold it far less often."""
    draw, held, held_alone = random.Random(11), 0, 0
    for _ in range(1_000):
        counts = []
        for _ in range(30):
            rate = draw.betavariate(1, 4)
            counts.append((sum(draw.random() < rate for _ in range(40)), 40))
        found = clustered(counts)
        low, high = found.interval
        held += low <= 0.2 <= high
        low, high = wilson(found.share, found.whole)
        held_alone += low <= 0.2 <= high

    assert held >= 0.92 * 1_000
    assert held_alone < 0.7 * 1_000


def test_texts_are_counted_by_patterns_and_people_by_messages() -> None:
    """What was put back, and what a budget prevented, counts for no arm."""
    tried = [
        *[message("canary", 1, caution="repaired", verdict="approved") for _ in range(3)],
        *[
            message("canary", 2, fallback_reason="guard:link", caution="objected", reasons=("unsubscribed",))
            for _ in range(2)
        ],
        message("canary", 3, fallback_reason="over_budget"),
        message("standing", 4, verdict="edited"),
        message("standing", 5, is_sent=False),
        message("standing", 6, propensity=1.0, caution="repaired"),
    ]
    found = compared(tried, 0.1)
    parts = {
        name: tuple((one[arm]["part"], one[arm]["whole"]) for arm in ("canary", "standing"))
        for name, one in found["measures"].items()
    }

    assert parts == {
        "rejected": ((2, 2), (0, 2)),
        "repaired": ((1, 2), (0, 2)),
        "fell_back": ((1, 2), (0, 2)),
        "turned_down_by_a_person": ((0, 3), (1, 1)),
        "read": ((0, 0), (0, 0)),
        "unsubscribed": ((2, 6), (0, 1)),
        "complained": ((0, 6), (0, 1)),
    }
    assert (found["patterns"], found["put_back"]) == ({"canary": 3, "standing": 2}, 1)
    assert found["measures"]["rejected"]["more_needed"]["canary"] > 100
