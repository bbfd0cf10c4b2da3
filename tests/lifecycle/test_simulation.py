"""What a simulation asks: times, policies, limits."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import parse_flow
from dagster_project.lifecycle.simulation import over_limits, overridden, parse_step, tick_times

MORNING = datetime(2026, 8, 1, 9)
POLICY: dict[str, Any] = {
    "title": "Welcome",
    "use_case": "onboarding",
    "owner": "lifecycle@ledgerline.example",
    "kpi": {"event_kind": "setup_step", "horizon_days": 7},
    "message_type": "product_tips",
    "legal_basis": "consent",
    "channels": ["email"],
    "mode": "assisted",
    "review": "none",
    "priority": 70,
    "required_facts": [],
    "caps": {"per_user": {"count": 2, "window_days": 7}},
    "quota_per_run": None,
    "reentry": "never",
    "send_window": None,
    "expires_after_hours": 72,
    "sequence": {"name": "onboarding", "step": 1, "wait_days": 0, "exit_when": None},
    "holdout_share": 0.1,
    "variants": {"default": 1},
    "rollout_percent": 100,
    "risk": "low",
    "on_unknown": "hold",
    "locales": {"fallback": "en"},
}
PRESENT = {"welcome": POLICY, "tips": {**POLICY, "sequence": None}}


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("1d", timedelta(days=1)),
        ("6h", timedelta(hours=6)),
        ("30m", timedelta(minutes=30)),
        (" 2d ", timedelta(days=2)),
    ],
)
def test_a_step_is_a_count_of_days_hours_or_minutes(text: str, step: timedelta) -> None:
    assert parse_step(text) == step


@pytest.mark.parametrize("text", ["0d", "-1d", "1", "d", "1w", "1.5d", "", "1d1h"])
def test_a_step_that_goes_nowhere_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--step"):
        parse_step(text)


def test_ticks_go_from_the_first_at_most_to_the_last() -> None:
    one_day = timedelta(days=1)

    assert tick_times(MORNING, MORNING, one_day) == [MORNING]
    assert tick_times(MORNING, MORNING + 2.5 * one_day, one_day) == [MORNING + number * one_day for number in range(3)]


def test_times_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InputError, match=r"--from 2026-08-01T09:00:00Z: after --to.*2026-07-31"):
        tick_times(MORNING, MORNING - timedelta(days=1), timedelta(days=1))


def test_more_ticks_than_anybody_would_wait_for_are_refused() -> None:
    with pytest.raises(InputError, match="525,601 ticks; allowed are 10,000"):
        tick_times(MORNING, MORNING + timedelta(days=365), timedelta(minutes=1))


def test_a_file_of_overrides_replaces_whole_keys_and_names_only_what_changes() -> None:
    changed = overridden(PRESENT, {"welcome": {"caps": {"per_account": {"count": 5, "window_days": 1}}}}, "fewer.yml")

    assert changed == {"welcome": {**POLICY, "caps": {"per_account": {"count": 5, "window_days": 1}}}}
    assert POLICY["caps"] == {"per_user": {"count": 2, "window_days": 7}}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param(None, "found nothing, allowed is a mapping", id="empty"),
        pytest.param(["welcome"], "found list, allowed is a mapping", id="a list"),
        pytest.param({"welcom": {}}, "unknown campaign 'welcom', allowed are tips, welcome", id="unknown campaign"),
        pytest.param({"welcome": 3}, "welcome: found 3, allowed is a mapping", id="no mapping"),
        pytest.param({"welcome": {"prioritty": 3}}, "welcome: found unknown key 'prioritty'.*priority", id="unknown key"),
        pytest.param({"welcome": {"priority": "high"}}, "welcome.priority: found 'high', allowed is a number", id="a word"),
        pytest.param({"welcome": {"sequence": {"name": "onboarding", "step": 2, "wait_days": 1, "exit_when": None}}},
                     "step: found steps 2", id="a gap in a sequence"),
    ],
)  # fmt: skip
def test_overrides_that_no_policy_may_have_are_refused(overrides: object, words: str) -> None:
    with pytest.raises(InputError, match=rf"(fewer.yml|dbt_project).*{words}"):
        overridden(PRESENT, overrides, "fewer.yml")


def test_a_days_volume_is_held_against_every_limit_that_it_counts_for() -> None:
    """The channel's counts all domains; a second's rate is a day's by 86,400; a warm-up knows its day."""
    flow = parse_flow(
        {
            "channels": {"smtp": "1/minute"},
            "domains": {"big.example": "10/day"},
            "warm_up": [
                {
                    "sending_domain": "us.example",
                    "recipient_domain": "small.example",
                    "starts": "2026-08-01",
                    "per_day": [5, 50],
                }
            ],
        },
        "delivery.yml",
    )
    first, second = date(2026, 8, 1), date(2026, 8, 2)
    volumes = [
        {"day": first, "domain": "big.example", "sends": 11},
        {"day": first, "domain": "small.example", "sends": 6},
        {"day": second, "domain": "small.example", "sends": 50},
    ]

    rows = over_limits(flow, "smtp", "us.example", volumes)

    told = {(row["day"], row["scope"]): (row["sends"], row["most_a_day"], row["is_over"]) for row in rows}
    assert told == {
        (first, "channel:smtp"): (17, 1440, False),
        (first, "domain:big.example"): (11, 10, True),
        (first, "warm_up:us.example:small.example"): (6, 5, True),
        (second, "channel:smtp"): (50, 1440, False),
        (second, "warm_up:us.example:small.example"): (50, 50, False),
    }
    assert rows[0]["hours"] == round(24 * 17 / 1440, 2)
