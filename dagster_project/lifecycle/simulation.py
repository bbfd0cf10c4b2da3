"""What a simulation asks: at which times, under which policies, and what the caps did to it. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dagster_project.lifecycle.campaign import CampaignPolicy, check_sequences, parse_policy
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import PERIODS, Flow

MOST_TICKS = 10_000  # an hourly year is 8,760
_STEP = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}

# Reasons that hold back for want of room: somebody who meets no other would have been mailed.
SCARCE = (
    "frequency_capped",
    "account_capped",
    "channel_capped",
    "message_type_capped",
    "account_crowded",
    "over_quota",
    "over_run_quota",
    "reentry_wait",
    "sequence_wait",
    "sequence_order",
)


def parse_step(text: str) -> timedelta:
    """The time between two ticks. InputError for anything but a count above 0 with d, h or m."""
    match = _STEP.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise InputError(f"--step {text}: not a step; allowed is a count above 0 with d, h or m, such as 1d or 6h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def tick_times(first: datetime, last: datetime, step: timedelta) -> list[datetime]:
    """Every tick from the first, at most to the last. InputError where there is none, or more than anybody would wait for."""
    if first > last:
        raise InputError(f"--from {first.isoformat()}Z: after --to, which is {last.isoformat()}Z; allowed is up to it")
    count = (last - first) // step + 1
    if count > MOST_TICKS:
        raise InputError(f"--step {step}: makes {count:,} ticks; allowed are {MOST_TICKS:,}")
    return [first + number * step for number in range(count)]


def overridden(present: Mapping[str, Mapping[str, Any]], overrides: object, file: str) -> dict[str, dict[str, Any]]:
    """The policies that a file of overrides changes, whole: campaign → policy as its YAML would say it.

    The file maps campaigns to keys of their policies; what it names replaces the whole value of that key. InputError for an
    unknown campaign, an unknown key, a value that no policy may have, and sequences that no longer fit.
    """
    if not isinstance(overrides, Mapping) or not overrides:
        found = "nothing" if not overrides else type(overrides).__name__
        raise InputError(
            f"{file}: found {found}, allowed is a mapping of campaign to the keys of its policy that change"
        )
    changed: dict[str, dict[str, Any]] = {}
    for campaign, keys in overrides.items():
        if campaign not in present:
            raise InputError(f"{file}: found unknown campaign {campaign!r}, allowed are {', '.join(sorted(present))}")
        if not isinstance(keys, Mapping):
            raise InputError(f"{file}: {campaign}: found {keys!r}, allowed is a mapping of policy keys to values")
        changed[campaign] = {**present[campaign], **keys}
    parsed: dict[str, CampaignPolicy] = {
        campaign: parse_policy(campaign, policy, file, campaign) for campaign, policy in changed.items()
    }
    others = {name: parse_policy(name, policy, file) for name, policy in present.items() if name not in changed}
    check_sequences({**others, **parsed})
    return changed


def over_limits(
    flow: Flow, channel: str, sending_domain: str, volumes: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """How each day's volume stands to the limits of delivery.yml: one row per day and limit, `days` long at its rate.

    `volumes` has one row per day (a date) and recipient domain. A limit of the channel counts all of a day's domains.
    """
    counts: dict[tuple[Any, str, str, int], int] = {}
    for row in volumes:
        for limit in flow.limits(channel, sending_domain, row["domain"], row["day"]):
            key = (row["day"], limit.scope, limit.period, limit.most)
            counts[key] = counts.get(key, 0) + row["sends"]
    found = []
    for (day, scope, period, most), sends in sorted(counts.items(), key=lambda item: (item[0][0], item[0][1])):
        a_day = most * (timedelta(days=1) // PERIODS[period])  # pyright: ignore[reportArgumentType]
        found.append(
            {"day": day, "scope": scope, "limit": f"{most}/{period}", "sends": sends, "most_a_day": a_day}
            | {"is_over": sends > a_day, "hours": round(24 * sends / a_day, 2) if a_day else None}
        )
    return found
