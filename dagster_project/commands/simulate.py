"""`postrider simulate`: ticks over history, nothing sent: who would get what and when, and what holds the others back."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from dagster_project.adapters.model_prices import dollars
from dagster_project.adapters.replay import (
    Replay,
)
from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.commands.replaying import replaying
from dagster_project.home import Home
from dagster_project.lifecycle.campaign import CampaignPolicy, parse_policy, written_policies
from dagster_project.lifecycle.drafting import writer_requests
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.expecting import expected
from dagster_project.lifecycle.planning import planned_messages
from dagster_project.lifecycle.roles.writer import writer_question
from dagster_project.lifecycle.simulation import over_limits, overridden, parse_step, tick_times
from expectations.plain import audience

PRESENT = "present"
_PRICE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([0-9]+(?:\.[0-9]+)?)")
Review = Literal["approve", "wait"]
Listener = Callable[[int, int, datetime], None]  # ticks done, of how many, the one that begins


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What is simulated. `campaigns` empty: all are reported. `price`: US dollars per million tokens in and out."""

    first: datetime
    last: datetime
    step: timedelta
    campaigns: Sequence[str] = ()
    policy_file: Path | None = None
    review: Review = "approve"
    price: tuple[float, float] | None = None


@dataclasses.dataclass(slots=True)
class Course:
    """One policy's way through the ticks: what is counted as it goes."""

    name: str
    policies: Mapping[str, CampaignPolicy]
    counts: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # per tick, campaign, verdict and reason
    broken: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # invariants that did not hold
    gate: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # what the audience gate would have said
    asked: set[str] = dataclasses.field(default_factory=set)  # patterns: what was answered once is known
    calls: Counter[str] = dataclasses.field(default_factory=Counter)
    tokens_in: Counter[str] = dataclasses.field(default_factory=Counter)
    tokens_out: Counter[str] = dataclasses.field(default_factory=Counter)


def read_asked(
    first: datetime,
    last: datetime,
    step: str,
    campaigns: Sequence[str] | None,
    policy_file: Path | None,
    review: str,
    price: str | None,
) -> Asked:
    """What the command line asks for. InputError naming the option."""
    if review not in ("approve", "wait"):
        raise InputError(f"--review {review}: unknown; allowed are approve, wait")
    prices = _PRICE.fullmatch(price) if price is not None else None
    if price is not None and prices is None:
        raise InputError(f"--model-price {price}: allowed is dollars in/out per million tokens, such as 0.15/0.60")
    return Asked(
        first,
        last,
        parse_step(step),
        tuple(campaigns or ()),
        policy_file,
        "approve" if review == "approve" else "wait",
        (float(prices[1]), float(prices[2])) if prices else None,
    )


def simulate(home: Home, asked: Asked, listener: Listener) -> dict[str, Any]:
    """Every tick from first to last: sends, caps that bind, collisions, volume against the limits, model calls.

    With a policy file both policies go through the same ticks, and the answer has their differences. InputError for what
    is wrong with the call; nothing of the home is changed, whatever happens.
    """
    started = time.monotonic()
    times = tick_times(asked.first, asked.last, asked.step)
    courses, changed = _courses(home, asked)
    with replaying(home, asked.first, [changed] if changed else []) as (replay, invariants):
        ready = time.monotonic()
        for number, as_of in enumerate(times):
            listener(number, len(times), as_of)
            with replay.tick(as_of):
                replay.advance()
                for policy, course in enumerate(courses):
                    _tick(home, replay, policy, course, as_of, invariants, asked.review)
        spent = time.monotonic() - ready
        answers = [_answer(home, replay, policy, course, asked) for policy, course in enumerate(courses)]
    return {
        "from": f"{asked.first.isoformat()}Z",
        "to": f"{times[-1].isoformat()}Z",
        "step_seconds": int(asked.step.total_seconds()),
        "ticks": len(times),
        "review": asked.review,
        "seconds": round(time.monotonic() - started, 2),
        "seconds_per_tick": round(spent / len(times), 3),
        "policies": answers,
        "differences": _differences(*answers) if len(answers) > 1 else None,
    }


def _courses(home: Home, asked: Asked) -> tuple[list[Course], dict[str, dict[str, Any]] | None]:
    """The present policies and, with a file, those that it makes of them; and what it changes."""
    courses = [Course(PRESENT, home.policies)]
    for campaign in asked.campaigns:
        if campaign not in home.policies:
            raise InputError(f"--campaign {campaign}: unknown; allowed are {', '.join(sorted(home.policies))}")
    horizon = home.default_as_of()
    if asked.last > horizon:
        raise InputError(
            f"--to {asked.last.isoformat()}Z: after the data was read; allowed is up to {horizon.isoformat()}Z"
        )
    if asked.policy_file is None:
        return courses, None
    try:
        text = asked.policy_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"--policy {asked.policy_file}: {reason}; allowed is a readable YAML file in UTF-8") from None
    name = asked.policy_file.name
    changed = overridden(written_policies(home.models.manifest), read_yaml(text, name), name)
    policies = dict(home.policies) | {one: parse_policy(one, policy, name, one) for one, policy in changed.items()}
    for campaign in changed:
        for variant in policies[campaign].variants:
            _ = home.templates.get(campaign, variant)
    return [*courses, Course(name, policies)], changed


def _tick(
    home: Home,
    replay: Replay,
    policy: int,
    course: Course,
    as_of: datetime,
    invariants: Mapping[str, str],
    review: Review,
) -> None:
    """One tick of one policy. Where the audience gate would stop it, nothing is planned, as in a real one."""
    replay.decide(policy)
    for name, sql in invariants.items():
        if count := replay.count(sql):
            course.broken.append({"as_of": as_of, "invariant": name, "rows": count})
    objections = audience(replay.connection, {"as_of": as_of, "env": home.settings.env, "source_pack": home.pack.name})
    for expectation, campaigns in objections:
        course.gate.append(
            {"as_of": as_of, "sentence": expectation.sentence, "severity": expectation.severity, "campaigns": campaigns}
        )
    is_stopped = any(expectation.severity == "critical" for expectation, _ in objections)
    if not is_stopped:
        _count_calls(home, course, replay.fresh_drafts(policy), as_of)
        cautioned = {campaign for _, campaigns in objections for campaign in campaigns}
        replay.carry(policy, is_approved=review == "approve", cautioned=cautioned)
    course.counts += [{"as_of": as_of, **row} for row in replay.close_tick(policy, "stopped" if is_stopped else "done")]


def _count_calls(home: Home, course: Course, verdicts: Sequence[Mapping[str, Any]], as_of: datetime) -> None:
    """The calls that a language model would get for these drafts: for each pattern that no earlier tick has asked for, its writer's and
    a part of its readers'."""
    if not verdicts:
        return
    _, patterns = writer_requests(
        planned_messages(verdicts), course.policies, home.templates.get, home.writing.patterns
    )
    requests = {request.key: request for request in home.writing.informing(as_of)(patterns).values()}
    new = [(key, writer_question(requests[key])) for key in sorted(requests.keys() - course.asked)]
    for campaign_id, made in expected(new, home.writing.prompts, home.settings.model_texts_per_call).items():
        course.calls[campaign_id] += made.calls
        course.tokens_in[campaign_id] += made.tokens_in
        course.tokens_out[campaign_id] += made.tokens_out
    course.asked |= requests.keys()


def _answer(home: Home, replay: Replay, policy: int, course: Course, asked: Asked) -> dict[str, Any]:
    """What one policy came to, for the campaigns asked for."""
    shown = set(asked.campaigns) or {row["campaign_id"] for row in course.counts} | set(course.policies)
    counts = [row for row in course.counts if row["campaign_id"] in shown]
    sends = [
        row
        for row in replay.rows(f"select * from simulated.sends_{policy} order by as_of, message_id")
        if row["campaign_id"] in shown
    ]
    bound = replay.rows(f"""
        select campaign_id, reason, winner_campaign_id, count(*) as times, count(distinct message_id) as messages,
            count(distinct user_id) as people,
            count(distinct message_id) filter (message_id not in (select message_id from simulated.sends_{policy})) as never_sent
        from simulated.bound_{policy} group by all order by times desc, campaign_id, reason, winner_campaign_id
    """)
    caps = [
        {key: row[key] for key in row if key != "winner_campaign_id"}
        for row in bound
        if row["reason"] != "lost_arbitration"
    ]
    collisions = [
        {key: row[key] for key in row if key != "reason"} for row in bound if row["reason"] == "lost_arbitration"
    ]
    # Of all campaigns, whatever is reported: limits know no campaign.
    volumes = replay.rows(f"""
        select cast(as_of as date) as day, domain, count(*) as sends from simulated.sends_{policy} group by all order by all
    """)
    channel = home.settings.channel if home.settings.channel != "outbox" else "smtp"
    calls = {name: count for name, count in sorted(course.calls.items()) if name in shown}
    tokens = sum(course.tokens_in[name] for name in calls), sum(course.tokens_out[name] for name in calls)
    return {
        "name": course.name,
        "sends": len(sends),
        "people": len({row["user_id"] for row in sends}),
        "campaigns": _by_campaign(counts, sends),
        "days": _by_day(counts, sends),
        "caps": [row for row in caps if row["campaign_id"] in shown],
        "collisions": [row for row in collisions if row["campaign_id"] in shown],
        "limits": over_limits(home.flow, channel, home.mailing.sending_domain, volumes),
        "model": {
            "is_set": home.writing.has_model,
            "model": home.settings.model,
            "calls": sum(calls.values()),
            "by_campaign": calls,
            "tokens_in": tokens[0],
            "tokens_out": tokens[1],
            "dollars": _dollars(home.settings.model, tokens, asked.price),
        },
        "gate": course.gate,
        "broken": course.broken,
        "candidates": sum(row["candidates"] for row in course.counts),
        "sent": [
            {
                "as_of": row["as_of"],
                "campaign_id": row["campaign_id"],
                "user_id": row["user_id"],
                "message_id": row["message_id"],
                "variant": row["variant"],
            }
            for row in sends
        ],
    }


def _dollars(model: str, tokens: tuple[int, int], price: tuple[float, float] | None) -> float | None:
    """At the price that was given, else at the list's; None for a model that it doesn't have."""
    if price is not None:
        return round((tokens[0] * price[0] + tokens[1] * price[1]) / 1e6, 4)
    listed = dollars(model, *tokens)
    return None if listed is None else round(float(listed), 4)


def _by_campaign(counts: Sequence[Mapping[str, Any]], sends: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sends and people; the verdicts of all ticks added up; the reasons of those not sent, most frequent first."""
    found: dict[str, dict[str, Any]] = {}
    for campaign in sorted({row["campaign_id"] for row in counts}):
        own = [row for row in counts if row["campaign_id"] == campaign]
        sent = [row for row in sends if row["campaign_id"] == campaign]
        verdicts: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for row in own:
            verdicts[row["verdict"]] += row["candidates"]
            if row["verdict"] != "send":
                reasons[row["reason"]] += row["candidates"]
        found[campaign] = {
            "sends": len(sent),
            "people": len({row["user_id"] for row in sent}),
            "verdicts": dict(sorted(verdicts.items())),
            "reasons": dict(reasons.most_common()),
        }
    return found


def _by_day(counts: Sequence[Mapping[str, Any]], sends: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per day (UTC): candidates judged, sends by campaign."""
    days: dict[Any, dict[str, Any]] = {}
    for row in counts:
        day = days.setdefault(
            row["as_of"].date(), {"candidates": 0, "bound": 0, "lost": 0, "sends": 0, "campaigns": Counter()}
        )
        day["candidates"] += row["candidates"]
        day["bound"] += row["candidates"] if row["is_bound"] else 0
        day["lost"] += row["candidates"] if row["verdict"] == "lose" else 0
    for row in sends:
        day = days[row["as_of"].date()]
        day["sends"] += 1
        day["campaigns"][row["campaign_id"]] += 1
    return [
        {"day": day, **values, "campaigns": dict(sorted(values["campaigns"].items()))}
        for day, values in sorted(days.items())
    ]


def _differences(present: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per campaign: sends under both, and the people who get it under one of them only."""
    people = [{(row["campaign_id"], row["user_id"]) for row in one["sent"]} for one in (present, other)]
    found = []
    for campaign in sorted({*present["campaigns"], *other["campaigns"]}):
        before, after = (one["campaigns"].get(campaign, {"sends": 0})["sends"] for one in (present, other))
        left, entered = (
            sorted(user for name, user in one if name == campaign)
            for one in (people[0] - people[1], people[1] - people[0])
        )
        bound = [sum(row["times"] for row in one["caps"] if row["campaign_id"] == campaign) for one in (present, other)]
        found.append(
            {"campaign_id": campaign, "sends": [before, after], "bound": bound, "entered": entered, "left": left}
        )
    return found
