"""`postrider simulate`: ticks over history, nothing sent: who would get what and when, and what holds the others back."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dagster_project.adapters.dependencies import reads
from dagster_project.adapters.models import DECIDING, Models
from dagster_project.adapters.replay import (
    DECISIONS,
    MARKER,
    MESSAGES,
    TICKS,
    VERDICTS,
    Replay,
    with_variable_time,
)
from dagster_project.adapters.warehouse import Warehouse
from dagster_project.adapters.writer import expected_tokens, load_prompt
from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.commands.scratch import scratch_folder
from dagster_project.home import Home
from dagster_project.ledger.landing import LANDED
from dagster_project.lifecycle.campaign import CampaignPolicy, parse_policy, written_policies
from dagster_project.lifecycle.drafting import writer_requests
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import refuse_forms
from dagster_project.lifecycle.expression import columns_of, exit_problem, people_of, value_problem
from dagster_project.lifecycle.planning import planned_messages
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


@contextlib.contextmanager
def replaying(
    home: Home,
    first: datetime,
    changes: Sequence[Mapping[str, Any]],
    variables: Sequence[Mapping[str, object]] = ({},),
) -> Iterator[tuple[Replay, Mapping[str, str]]]:
    """A replay in a scratch warehouse that is gone after the `with`, over the source's files and the ledger as it stood before
    the first tick; and the SQL of the invariants of decisions, by name. `variables`: per policy what dbt is told besides the
    project's own. `changes`: per further policy what it changes."""
    with scratch_folder("simulate") as folder:
        # Its stem is the database's name in the compiled SQL.
        warehouse = Warehouse(folder / home.settings.warehouse_path.name, home.settings.threads)
        warehouse.land(home.pack, home.data)
        _refuse_before_data(home, warehouse, first)
        models = Models(
            home.models.project,
            folder,
            warehouse.path,
            home.pack.name,
            home.settings.dbt_target,
            home.settings.threads,
        )
        models.adopt(home.models)
        bad = [
            node
            for node in models.run(["resource_type:seed"], first, "simulate", without=("test", "unit_test"))
            if node.is_bad
        ]
        if bad:
            raise InputError(bad[0].message)
        queries = [models.compiled(DECIDING, MARKER, told) if told else models.queries(MARKER) for told in variables]
        refuse_forms(queries[0])
        _refuse_expressions(changes, queries[0])
        queries += [models.compiled(DECIDING, MARKER, {"simulated_policies": changed}) for changed in changes]
        with warehouse.connect() as connection:
            connection.execute(f"create table main.{DECISIONS} (decision_id varchar)")  # there: its SQL adds to it
        compiled = models.run([DECISIONS, "test_type:singular"], MARKER, "simulate", command="compile")
        sql = {node.name: node.compiled_sql or "" for node in compiled}
        tests = {node.name: node.compiled_sql or "" for node in compiled if node.kind == "test"}
        kinds = home.models.materializations()
        with warehouse.connect() as connection:
            connection.execute(f"drop table main.{DECISIONS}")
            replay = Replay(
                connection,
                queries,
                sql[DECISIONS],
                home.models.columns(DECISIONS),
                {name for name, kind in kinds.items() if kind == "view"},
                _history(home, first),
                home.pack.name,
            )
            replay.start()
            nodes = home.models.manifest["nodes"].values()
            seeds = {node["name"] for node in nodes if node["resource_type"] == "seed"}
            yield replay, _invariants(tests, {*queries[0], *seeds, DECISIONS})


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


def _refuse_before_data(home: Home, warehouse: Warehouse, first: datetime) -> None:
    """InputError for a time at which nobody had signed up yet."""
    (row,) = warehouse.rows("select min(created_at)::varchar as first from raw.raw_users")
    since = row["first"] and datetime.fromisoformat(row["first"]).replace(tzinfo=None)
    if since is None or first < since:
        told = (
            f"the first person of pack {home.pack.name} signed up at {since.isoformat()}Z"
            if since
            else "nobody is there at all"
        )
        raise InputError(f"--from {first.isoformat()}Z: before the data; {told}")


def _refuse_expressions(changes: Sequence[Mapping[str, Any]], queries: Mapping[str, str]) -> None:
    """InputError for an end of a sequence, or a value, that the models could not be built with."""
    columns, people = columns_of(queries["int_users_enriched"]), people_of(queries)
    for campaign, policy in (item for changed in changes for item in changed.items()):
        condition = (policy["sequence"] or {}).get("exit_when")
        if condition and (problem := exit_problem(campaign, condition, columns)):
            raise InputError(f"--policy: {problem}")
        if (value := policy.get("value")) and (problem := value_problem(campaign, value, people)):
            raise InputError(f"--policy: {problem}")


def _history(home: Home, first: datetime) -> dict[str, pa.Table]:
    """The ledger as it stood before the first tick; empty where this home has none. What came later has not happened."""
    if home.settings.ledger_url is None and not (home.path / "ledger.sqlite").exists():
        return {name: schema.empty_table() for name, schema in LANDED.items()}
    with home.ledger() as ledger:
        landed = ledger.land(home.pack.name)
    kept = {
        name: [row for row in landed[name].to_pylist() if row[when] < first]
        for name, when in ((MESSAGES, "planned_as_of"), (TICKS, "as_of"))
    }
    for row in kept[MESSAGES]:
        if row["state_as_of"] >= first:
            row |= {"state": "planned", "state_reason": None, "state_as_of": row["planned_as_of"]}
        if row["sent_as_of"] is not None and row["sent_as_of"] >= first:
            row["sent_as_of"] = None
    return landed | {name: pa.Table.from_pylist(rows, schema=LANDED[name]) for name, rows in kept.items()}


def _invariants(tests: Mapping[str, str], there: set[str]) -> dict[str, str]:
    """The tests of this project that look at verdicts and read nothing else than what a replay makes."""
    return {
        name: with_variable_time(name, sql)
        for name, sql in tests.items()
        if VERDICTS in reads(sql) and reads(sql) <= there
    }


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
        _count_calls(home, course, replay.fresh_drafts(policy))
        cautioned = {campaign for _, campaigns in objections for campaign in campaigns}
        replay.carry(policy, is_approved=review == "approve", cautioned=cautioned)
    course.counts += [{"as_of": as_of, **row} for row in replay.close_tick(policy, "stopped" if is_stopped else "done")]


def _count_calls(home: Home, course: Course, verdicts: Sequence[Mapping[str, Any]]) -> None:
    """The calls that a language model would get for these drafts: one per pattern that no earlier tick has asked for."""
    if not verdicts:
        return
    prompt = load_prompt(home.settings.project / "templates" / "prompts")
    _, requests = writer_requests(planned_messages(verdicts), course.policies, home.templates.get)
    for key in sorted(requests.keys() - course.asked):
        request = requests[key]
        tokens_in, tokens_out = expected_tokens(request, prompt)
        course.calls[request.campaign_id] += 1
        course.tokens_in[request.campaign_id] += tokens_in
        course.tokens_out[request.campaign_id] += tokens_out
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
        "limits": over_limits(home.flow, channel, home.sending_domain, volumes),
        "model": {
            "is_set": home.writer is not None,
            "model": home.settings.model,
            "calls": sum(calls.values()),
            "by_campaign": calls,
            "tokens_in": tokens[0],
            "tokens_out": tokens[1],
            "dollars": _dollars(tokens, asked.price),
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


def _dollars(tokens: tuple[int, int], price: tuple[float, float] | None) -> float | None:
    return None if price is None else round((tokens[0] * price[0] + tokens[1] * price[1]) / 1e6, 4)


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
