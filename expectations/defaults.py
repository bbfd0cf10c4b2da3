"""Every parameter of the gates, its unit and its default, in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast

from expectations.expectation import GateError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a gate is given. Times are UTC and naive; shares are 0..1."""

    as_of: datetime  # the tick's time
    read_at: datetime | None = None  # when the source was read; the ingest gate needs it
    env: Literal["development", "production"] = "development"
    source_pack: str = "demo"
    gate: Mapping[str, str | None] = dataclasses.field(default_factory=dict)  # the pack's columns: see GATE_KEYS

    # source
    freshness_hours: float = 26.0  # a daily load, with two hours of grace
    skew_minutes: float = 5.0  # clocks of two machines may differ by this much
    min_valid_address_share: float = 0.995
    max_malformed_share: float = 0.01
    min_known_user_share: float = 0.95

    # people and candidates
    active_days: int = 7
    max_no_zone_share: float = 0.20
    max_campaign_user_share: float = 0.50

    # audience
    audience_ticks: int = 8  # history that an audience is compared with
    audience_low: float = 0.5  # times the median: below, a person looks
    audience_high: float = 2.0  # above, a person looks
    audience_max: float = 5.0  # above, nothing is sent
    audience_cap: int = 200_000  # candidates of one campaign in one tick
    audience_floor: int = 20  # campaigns smaller than this are not judged by ratios
    max_send_share: float = 0.20  # of the contactable base, in one tick
    min_sends_judged: int = 50  # fewer are no mass mailing, whatever their share
    max_churn_share: float = 0.30  # of the eligible messages of earlier ticks

    # content
    max_subject_characters: int = 150
    max_html_bytes: int = 102_000  # Gmail clips what is larger, and the unsubscribe link with it
    identical_floor: int = 10  # drafts of one campaign; fewer may be alike by chance


GATE_KEYS = ("users", "user_key", "user_email", "events", "event_user_key", "event_occurred_at", "event_received_at")
OPTIONAL_GATE_KEYS = ("user_email", "event_received_at")


def given(params: Mapping[str, object]) -> Given:
    """The parameters of a gate; raises GateError naming the key, what was found and what is allowed."""
    allowed = {field.name: field for field in dataclasses.fields(Given)}
    unknown = sorted(set(params) - set(allowed))
    if unknown:
        raise GateError(f"gate parameter {unknown[0]}: unknown; allowed are {', '.join(allowed)}")
    values: dict[str, Any] = dict(params)
    if values.get("as_of") is None:
        raise GateError("gate parameter as_of: missing; the time of the tick is needed")
    for name in ("as_of", "read_at"):
        values[name] = _moment(name, values.get(name))
    if values.get("env", "development") not in ("development", "production"):
        raise GateError(f"gate parameter env: found {values['env']!r}; allowed are development, production")
    if not isinstance(values.get("gate", {}), Mapping):
        raise GateError(f"gate parameter gate: found {values['gate']!r}; a mapping is needed")
    for name, value in values.items():
        if allowed[name].type in ("int", "float") and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0
        ):
            raise GateError(f"gate parameter {name}: found {value!r}; a number of at least 0 is needed")
    return Given(**values)


def _moment(name: str, value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise GateError(f"gate parameter {name}: found {value!r}; a datetime is needed")
    return cast("datetime", value).astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
