"""`delivery.yml`: what it may say, and the numbers behind breakers and canaries."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Breakers, Canary, Flow, Limit, Tally, lower_bound, parse_flow

TODAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"chanels": {}}, "did you mean 'channels'?"),
        ({"channels": {"smtp": "fast"}}, "delivery.channels.smtp: found 'fast'"),
        ({"channels": {"smtp": "0/second"}}, "found '0/second'"),
        ({"channels": {"smtp": 100}}, "found 100"),
        ({"channels": {"smtp": "5/fortnight"}}, "found '5/fortnight'"),
        ({"domains": {"gmail": "5/second"}}, "gmail"),
        ({"canary": {"share": 0}}, "delivery.canary.share: found 0"),
        ({"canary": {"least": "many"}}, "delivery.canary.least: found 'many'"),
        ({"breakers": {"most_unknown": 2}}, "delivery.breakers.most_unknown: found 2"),
        ({"warm_up": [{"sending_domain": "a.example"}]}, "found nothing"),
        ({"warm_up": {"a": 1}}, "delivery.warm_up"),
        (["smtp"], "found list"),
        ("smtp", "found str"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(raw: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_flow(raw, "delivery.yml")

    assert str(caught.value).startswith("delivery.yml: ")
    assert words in str(caught.value)
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_means_the_defaults() -> None:
    assert parse_flow(None, "delivery.yml") == Flow()
    assert parse_flow({"canary": None}, "delivery.yml").canary is None


def test_every_limit_that_a_message_counts_against_is_named() -> None:
    row = {"sending_domain": "a.example", "recipient_domain": "gmail.com", "starts": "2026-03-01", "per_day": [5, 10]}
    flow = parse_flow(
        {"channels": {"smtp": "100/second"}, "domains": {"GMAIL.com": "20/minute", "*": "9/hour"}, "warm_up": [row]},
        "delivery.yml",
    )

    assert flow.limits("smtp", "a.example", "gmail.com", TODAY) == (
        Limit("channel:smtp", "second", 100),
        Limit("domain:gmail.com", "minute", 20),
        Limit("warm_up:a.example:gmail.com", "day", 10),
    )
    assert flow.limits("webhook", "b.example", "other.example", TODAY) == (Limit("domain:other.example", "hour", 9),)


@pytest.mark.parametrize(
    ("tally", "why"),
    [
        (Tally(sent=199), None),
        (Tally(sent=190, rejected=9), None),
        (Tally(sent=190, rejected=10), "10 of 200 rejected"),
        (Tally(sent=960, rejected=40), "40 of 1000 rejected"),
        (Tally(sent=975, rejected=25), None),
        (Tally(sent=999, unknown=1), None),
        (Tally(sent=199, unknown=1), "1 of 200 in doubt"),
        (Tally(sent=1000, complained=1), "1 of 1000 complained"),
        (Tally(sent=5, failures_in_a_row=50), "50 refusals in a row"),
        (Tally(), None),
    ],
)
def test_the_breaker_trips_as_the_reference_says(tally: Tally, why: str | None) -> None:
    assert Breakers().trip(tally) == why


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_the_lower_bound_is_below_the_share_and_above_zero(hits: int, more: int) -> None:
    of = hits + more
    assert 0 <= lower_bound(hits, of) <= hits / of


def test_the_lower_bound_is_wilsons() -> None:
    """Newcombe 1998, table I: 81 of 263 has the interval 0.2553 to 0.3662."""
    assert lower_bound(81, 263) == pytest.approx(0.2553, abs=5e-5)


@given(st.integers(1, 5_000_000))
def test_a_canary_is_never_everybody_and_never_less_than_asked(audience: int) -> None:
    size = Canary().size(audience)

    assert (size is None) == (audience <= 50)
    if size is not None:
        assert 50 <= size < audience
        assert size >= audience / 100
