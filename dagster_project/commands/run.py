"""`postrider run`: one tick, watched stage by stage, and what it came to."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dagster_project.adapters.home_folder import alone, minding_the_disk
from dagster_project.commands.unchanged import keep, report_that_stands
from dagster_project.home import Home
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.knowledge import read_consulted
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.stages import STAGES

StageListener = Callable[[str, str, float], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What one tick came to: the object that `run --json` prints."""

    as_of: str
    run_id: str
    stages: Mapping[str, Mapping[str, Any]]
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    gates: list[Mapping[str, Any]]
    drafts: Mapping[str, int]  # by mode, of the drafts made in this tick
    model: Mapping[
        str, Any
    ]  # calls of a language model that were made, their tokens and dollars at list price (null: unknown)
    fallbacks: Mapping[str, int]  # why drafts of assisted campaigns came from the template
    deliveries: Mapping[str, int]  # by state, of the messages this tick touched
    campaigns: Mapping[str, Mapping[str, int]]  # verdicts per campaign
    decisions_hash: str | None
    error: str | None
    seconds: float
    cap_prices: Sequence[Mapping[str, Any]] = dataclasses.field(
        default_factory=list
    )  # of those that held something back
    state: str | None = None  # how people's days and activity were made: moved on from the last tick, or anew and why
    knowledge: Mapping[str, int] = dataclasses.field(
        default_factory=dict
    )  # how what writers looked up was found, by drafts
    is_unchanged: bool = False  # nothing was done: all this is the report of the last tick, which stands

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def run(home: Home, as_of: datetime | None, listener: StageListener) -> Report:
    """One tick of a home at `as_of` (default: the pack's own, or now). Holds the home alone while it runs.

    Raises InputError when the call or its input is wrong. A stage that says no is in the report's `error`.
    """
    started = time.monotonic()
    with alone(home.path):
        if standing := report_that_stands(home, as_of or home.default_as_of()):
            return unchanged(standing, time.monotonic() - started)
        home.preflight(listener)
        as_of = as_of or home.default_as_of()
        from dagster_project.definitions import defs
        from dagster_project.defs.tick import run_tick

        run_id = str(uuid.uuid4())
        with minding_the_disk(home.path):
            outcome = run_tick(defs(), home, run_id, as_of, listener)
        decided = "decide" in outcome.seconds and "decide" not in outcome.failures
        decisions = home.decisions(as_of) if decided else []
        campaigns = _by_campaign(decisions)
        with home.ledger() as ledger:
            tick = ledger.tick(run_id)
            if tick.run_id == run_id:  # else not even begun: its time was refused
                ledger.finish_tick(
                    run_id,
                    "done" if outcome.succeeded else "failed" if outcome.input_error else "stopped",
                    {name: (sum(verdicts.values()), verdicts.get("send", 0)) for name, verdicts in campaigns.items()},
                    {"decisions_hash": decisions_hash(decisions)},
                )
            gates = ledger.gates(run_id)
            spent = ledger.spent(run_id)
            drafts = ledger.count_drafts(run_id)
            ways = Counter[str]()
            for how, count in drafts.items():
                if how.knowledge:
                    ways[read_consulted(ledger.artifact(how.knowledge))["ranked_by"]] += count
            states = Counter(message.state for message in ledger.messages(since=tick.started_at))
        if outcome.input_error:
            raise InputError(outcome.input_error)
        stage_gates = _stage_gates(gates)
        failed = {gate["stage"]: [line["sentence"] for line in gate["failed"]] for gate in stage_gates}
        report = Report(
            as_of=f"{as_of.isoformat()}Z",
            run_id=run_id,
            stages=_stages(home, outcome.seconds, len(decisions), drafts.total(), states),
            verdicts=_counts(row["verdict"] for row in decisions),
            reasons=_counts(row["reason"] for row in decisions),
            gates=stage_gates,
            drafts=_counts(how.mode for how in drafts.elements()),
            model=_spent(spent),
            fallbacks=_counts(how.fallback_reason for how in drafts.elements() if how.fallback_reason),
            knowledge=_counts(ways.elements()),
            deliveries=dict(states),
            campaigns=campaigns,
            decisions_hash=decisions_hash(decisions) if decided else None,
            error=_error(outcome.failures, failed),
            seconds=round(time.monotonic() - started, 2),
            cap_prices=home.cap_prices(as_of) if decided else [],
            state=home.carried() if "enrich" in outcome.seconds else None,
        )
        if report.error is None:
            keep(home, as_of, report.as_dict())
        return report


def unchanged(standing: Mapping[str, Any], seconds: float) -> Report:
    """What stands, of a tick that had nothing to do."""
    nothing = {
        "stages": {},
        "state": None,
        "drafts": {},
        "model": _spent({}),
        "fallbacks": {},
        "deliveries": {},
        "knowledge": {},
    }
    return Report(**{**standing, **nothing, "is_unchanged": True, "seconds": round(seconds, 2)})


def decisions_hash(decisions: list[dict[str, Any]]) -> str:
    """One hash over every candidate's verdict, reason, variant and window: equal data and time give an equal hash."""
    return content_hash(
        {row["message_id"]: [row["verdict"], row["reason"], row["variant"], row["send_after"]] for row in decisions}
    )


def _spent(by_campaign: Mapping[str, Cost]) -> dict[str, Any]:
    """Calls, tokens and dollars in all, and by campaign."""
    costs = {name: _cost(cost) for name, cost in by_campaign.items()}
    return _cost(sum(by_campaign.values(), Cost())) | {"campaigns": costs}


def _cost(cost: Cost) -> dict[str, Any]:
    return dataclasses.asdict(cost) | {"dollars": None if cost.dollars is None else float(cost.dollars)}


def _counts(words: Any) -> dict[str, int]:
    return dict(sorted(Counter(words).items(), key=lambda item: (-item[1], item[0])))


def _by_campaign(decisions: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    campaigns: dict[str, Counter[str]] = defaultdict(Counter)
    for row in decisions:
        campaigns[row["campaign_id"]][row["verdict"]] += 1
    return {name: dict(sorted(verdicts.items())) for name, verdicts in sorted(campaigns.items())}


def _stages(
    home: Home, seconds: Mapping[str, float], candidates: int, drafts: int, states: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """Seconds of each stage that ran, and the count that tells whether it did its work."""
    counts: dict[str, Mapping[str, Any]] = {
        "ingest": {"rows": home.warehouse.counts([table.name for table in home.pack.tables], schema="raw")},
        "enrich": {"users": home.warehouse.counts(["int_users_enriched"]).get("int_users_enriched", 0)},
        "score": {"candidates": home.warehouse.counts(["int_candidates_unioned"]).get("int_candidates_unioned", 0)},
        "decide": {"candidates": candidates},
        "draft": {"drafts": drafts},
        "review": {"in_review": states.get("in_review", 0)},
        "deliver": {"sent": states.get("sent", 0)},
        "evaluate": {"outcomes": home.warehouse.counts(["fct_outcomes"]).get("fct_outcomes", 0)},
    }
    return {name: {"seconds": round(seconds[name], 2), **counts[name]} for name in STAGES if name in seconds}


def _stage_gates(gates: Iterable[Any]) -> list[Mapping[str, Any]]:
    """One entry per stage: its dbt tests and its gate are one border."""
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    passed: dict[str, bool] = defaultdict(lambda: True)
    for gate in gates:
        stage = gate.stage.removesuffix("_tests")
        passed[stage] = passed[stage] and gate.passed
        lines[stage] += gate.results
    return [
        {
            "stage": stage,
            "passed": passed[stage],
            "expectations": len(lines[stage]),
            "failed": [line for line in lines[stage] if not line["passed"] and line["severity"] == "critical"],
            "warnings": [line for line in lines[stage] if not line["passed"] and line["severity"] == "warning"],
        }
        for stage in STAGES
        if stage in lines or not passed[stage]
    ]


def _error(failures: Mapping[str, str], failed: Mapping[str, list[str]]) -> str | None:
    """What stopped the tick: a gate's own sentences where a gate did, else the stage's line."""
    if not failures:
        return None
    return "; ".join(f"{stage}: {' '.join(failed.get(stage, [])) or line}" for stage, line in failures.items())
