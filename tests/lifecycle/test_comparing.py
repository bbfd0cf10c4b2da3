"""Rows that differ, told as people who entered, left, or are decided on otherwise; and the limit on how many."""

from __future__ import annotations

from typing import Any

import pytest

from dagster_project.lifecycle.comparing import compare, over, parse_limit
from dagster_project.lifecycle.errors import InputError


def row(user: str, base: str | None, head: str | None, **changes: Any) -> dict[str, Any]:
    """`hold:capped` is a verdict with its reason; None is no candidate."""
    sides = {
        f"{side}_{part}": value
        for side, said in (("base", base), ("head", head))
        for part, value in zip(("verdict", "reason"), (said or ":").split(":"), strict=True)
    }
    return {
        "campaign_id": "winback", "user_id": user, "message_id": f"m-{user}", "base_winner": None, "head_winner": None,
        "is_in_base": base is not None, "is_in_head": head is not None,
        **{name: value or None for name, value in sides.items()}, **changes,
    }  # fmt: skip


def test_people_enter_leave_and_change_and_each_is_named_once() -> None:
    rows = [
        row("a", None, "send:eligible"),
        row("b", "hold:outside_window", None),
        row("c", "send:eligible", "lose:lost_arbitration", head_winner="welcome"),
        row("d", "lose:lost_arbitration", "send:eligible", base_winner="welcome"),
        row("e", "send:eligible", "send:eligible", **{"changed facts": True, "changed caps": False}),
    ]

    found = compare(rows, "changed ")["winback"]

    assert found["people"] == ["a", "b", "c", "d", "e"]
    assert found["entered"] == {"people": ["a"], "verdicts": {"send": 1}}
    assert found["left"] == {"people": ["b"], "verdicts": {"hold (outside_window)": 1}}
    assert [(one["from"], one["to"], one["people"]) for one in found["verdicts"]] == [
        ("lose (lost_arbitration)", "send", ["d"]),
        ("send", "lose (lost_arbitration)", ["c"]),
    ]
    assert found["verdicts"][1]["loses_to_now"] == found["verdicts"][0]["lost_to_before"] == {"welcome": 1}
    assert (found["rewritten"], found["other"]) == (["m-e"], {"facts": 1})


def test_somebody_with_another_occasion_has_neither_entered_nor_left() -> None:
    """One candidate of theirs is gone and another there: the campaign still has them."""
    rows = [
        row("a", "send:eligible", None, is_in_head=True, message_id="old"),
        row("a", None, "send:eligible", is_in_base=True, message_id="new"),
    ]

    found = compare(rows, "changed ")["winback"]

    assert (found["entered"]["people"], found["left"]["people"], found["people"]) == ([], [], ["a"])
    assert {(one["from"], one["to"]) for one in found["verdicts"]} == {
        ("send", "not a candidate"),
        ("not a candidate", "send"),
    }


@pytest.mark.parametrize(
    ("limit", "people", "audience", "is_over"),
    [("2", 2, 10, False), ("2", 3, 10, True), ("20%", 2, 10, False), ("20%", 3, 10, True), ("5%", 1, 0, True),
     ("0", 1, 10, True), ("0", 0, 10, False), ("2.5%", 3, 100, True)],
)  # fmt: skip
def test_a_limit_is_passed_by_more_than_it_allows(limit: str, people: int, audience: int, *, is_over: bool) -> None:
    campaign = {"campaign_id": "winback", "people": ["x"] * people, "base": {"people": audience}}

    assert over(parse_limit(limit), [campaign]) == (["winback"] if is_over else [])
    assert over(None, [campaign]) == []


@pytest.mark.parametrize("text", ["", "many", "-1", "5 %", "1.5", "%", "5%%", "1e3"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--fail-over .*allowed is a number of people such as 50"):
        parse_limit(text)
