"""Caps read what the warehouse wrote, and say when one more message may follow."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.caps import Cap, opens_at, read_caps
from dagster_project.lifecycle.errors import InputError

NOW = datetime(2026, 3, 2, 9)
DAY = Cap(1, timedelta(hours=24))
WEEK = Cap(3, timedelta(days=7))


def ago(**units: float) -> datetime:
    return NOW - timedelta(**units)


def test_caps_read_back_as_the_warehouse_writes_them() -> None:
    assert read_caps("[[1,24],[3,168]]") == (DAY, WEEK)
    assert read_caps("[]") == read_caps(None) == ()


@pytest.mark.parametrize(
    "text",
    [
        "", "one a day", "1", "{}", "null", "[1,24]", "[[1]]", "[[1,24,2]]", "[[0,24]]", "[[1,0]]", "[[1.5,24]]",
        '[["1","24"]]', "[[true,24]]", "[[1,8761]]", "[[1,24],null]", "[null]",
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line_that_says_what_is_allowed(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_caps(text)

    assert str(caught.value) == (
        f"caps: found {text!r}; allowed: a JSON list of [messages, hours], from 1 message, from 1 to 8760 hours"
    )


@pytest.mark.parametrize(
    ("earlier", "opens"),
    [
        ([], None),
        ([ago(hours=24)], None),
        ([ago(hours=23)], NOW + timedelta(hours=1)),
        ([ago(hours=-1)], NOW + timedelta(hours=25)),
        ([ago(days=2), ago(days=4)], None),
        ([ago(days=2), ago(days=4), ago(days=6)], NOW + timedelta(days=1)),
        ([ago(days=2), ago(days=4), ago(days=5), ago(days=6)], NOW + timedelta(days=2)),
        ([ago(hours=1), ago(days=4), ago(days=6)], NOW + timedelta(days=1)),
        ([ago(hours=1), ago(days=4), ago(days=6, hours=23)], NOW + timedelta(hours=23)),
        ([ago(days=2), ago(days=4), ago(days=7)], None),
    ],
)
def test_the_last_cap_to_open_says_when(earlier: list[datetime], opens: datetime | None) -> None:
    """One in a day, three in a week; sent exactly a window ago, or before, counts no more, and what a faster clock sent does."""
    assert opens_at((DAY, WEEK), earlier, NOW) == opens


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 100)), max_size=3),
    st.lists(st.integers(-10, 110), max_size=8),
)
def test_caps_hold_until_they_open_and_not_a_minute_longer(pairs: list[tuple[int, int]], hours: list[int]) -> None:
    caps = [Cap(count, timedelta(hours=window)) for count, window in pairs]
    earlier = [ago(hours=one) for one in hours]

    opens = opens_at(caps, earlier, NOW)

    def is_full(moment: datetime) -> bool:
        return any(sum(one > moment - cap.window for one in earlier) >= cap.count for cap in caps)

    assert (opens is not None) == is_full(NOW)
    if opens is not None:
        assert is_full(opens - timedelta(minutes=1))
        assert not is_full(opens)
