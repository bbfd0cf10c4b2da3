"""The Python side of chance: equal to the SQL side, evenly spread, independent between purposes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dagster_project.lifecycle.bucket import hash_bucket

TWIN = Path(__file__).parents[2] / "dbt_project" / "tests" / "hash_buckets_agree_with_python.sql"
VECTORS = re.findall(r"^ +\('(.*)', '(.*)', '(.*)'\),?$", TWIN.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_vectors_of_the_sql_twin_are_found() -> None:
    """A change of layout in the SQL file must not empty the next test without a sound."""
    assert len(VECTORS) == TWIN.read_text(encoding="utf-8").count("    ('") >= 10


@pytest.mark.parametrize(("salt", "key", "expected"), VECTORS)
def test_python_draws_the_same_number_as_sql(salt: str, key: str, expected: str) -> None:
    """The dbt test of the same vectors holds the macro to them."""
    assert hash_bucket(salt, key) == float(expected)


def test_a_share_of_people_is_that_share() -> None:
    """10 % of 20,000 people is 2,000, give or take four standard deviations (about 170)."""
    held_out = sum(hash_bucket("holdout:welcome", f"user-{number}") < 0.1 for number in range(20_000))

    assert abs(held_out - 2_000) < 170


def test_two_purposes_draw_independently() -> None:
    """Of the people in one campaign's holdout, another campaign holds out its usual share, not the same people."""
    first = [number for number in range(20_000) if hash_bucket("holdout:welcome", f"user-{number}") < 0.1]
    both = sum(hash_bucket("holdout:winback", f"user-{number}") < 0.1 for number in first)

    assert abs(both - len(first) * 0.1) < 60


def test_a_bucket_is_never_one() -> None:
    """So that a share of 1 means everybody."""
    assert all(0 <= hash_bucket("rollout:welcome", str(number)) < 1 for number in range(1_000))
