"""From repetitions to figures: median and spread, ratios within a repetition, a table. Pure but for the one function that writes."""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Case = Mapping[str, Any]
Cases = Mapping[str, Case]  # of one repetition
Repetitions = Sequence[Mapping[str, Any]]  # each with its `cases`
Spread = dict[str, float]

ANCHOR = "smtp_source"


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """One figure that was asked for. `find` takes it from one repetition; None where what it needs was not run."""

    name: str
    asked: str
    find: Callable[[Cases], float | None]
    unit: str = "x"


def spread(found: Iterable[float]) -> Spread | None:
    """Median, least and most; None of nothing."""
    values = list(found)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)} if values else None


def over(upper: float | None, lower: float | None) -> float | None:
    return upper / lower if upper is not None and lower else None


def rate(cases: Cases, name: str, seconds: str = "seconds") -> float | None:
    """Messages per second of a case; None where it was left out."""
    case = cases.get(name, {})
    return over(case.get("messages"), case.get(seconds))


def against_anchor(cases: Cases, name: str, seconds: str = "seconds") -> float | None:
    """The rate of a case as a share of smtp-source's in the same repetition."""
    return over(rate(cases, name, seconds), rate(cases, ANCHOR))


def with_render(cases: Cases, name: str) -> float | None:
    """The share of smtp-source's rate, with the tick's rendering put before the delivery."""
    case, prepared = cases.get(name), cases.get("prepare")
    if not case or not prepared or "seconds" not in case:
        return None
    per_message = case["seconds"] / case["messages"] + prepared["steps"]["render"] / prepared["messages"]
    return over(1 / per_message, rate(cases, ANCHOR))


def job_against(cases: Cases, name: str) -> float | None:
    """How many times as long the naive script takes per message as our whole job: plan, render, route, release, deliver signed."""
    ours = [
        over(cases.get(part, {}).get("seconds"), cases.get(part, {}).get("messages")) for part in ("prepare", "rsa")
    ]
    theirs = over(cases.get(name, {}).get("seconds"), cases.get(name, {}).get("messages"))
    return None if None in ours else over(theirs, sum(one for one in ours if one is not None))


def step(cases: Cases, *names: str) -> float | None:
    """The sum of these steps of `micro`, in µs: each its own median."""
    steps = cases.get("micro", {}).get("steps", {})
    return sum(steps[name]["median"] for name in names) if all(name in steps for name in names) else None


GOALS = (
    Goal("transport alone, of smtp-source", "≥ 1.5", lambda cases: against_anchor(cases, "transport")),
    Goal("  the same with a sink for each worker", "", lambda cases: against_anchor(cases, "transport_own_sinks")),
    Goal("build + RSA-2048 + ledger + send, of smtp-source", "≥ 0.50", lambda cases: against_anchor(cases, "rsa")),
    Goal("  the same without the start of the workers", "", lambda cases: against_anchor(cases, "rsa", "loop_seconds")),
    Goal("  the same with the tick's rendering before it", "≥ 0.50", lambda cases: with_render(cases, "rsa")),
    Goal("unsigned, of smtp-source", "≥ 0.9", lambda cases: against_anchor(cases, "unsigned")),
    Goal(
        "  the same without the start of the workers",
        "",
        lambda cases: against_anchor(cases, "unsigned", "loop_seconds"),
    ),
    Goal("  the same with the tick's rendering before it", "≥ 0.9", lambda cases: with_render(cases, "unsigned")),
    Goal("whole job, times the naive script without DKIM", "≥ 40", lambda cases: job_against(cases, "naive")),
    Goal("whole job, times the naive script with dkimpy", "≥ 90", lambda cases: job_against(cases, "naive_dkimpy")),
    Goal("render + MIME", "≤ 150", lambda cases: step(cases, "render_and_build"), "µs"),
    Goal(
        "RSA-2048 signing, of the bare operation",
        "≤ 1.2",
        lambda cases: cases.get("micro", {}).get("ratios", {}).get("sign_rsa_over_bare", {}).get("median"),
    ),
    Goal(
        "ledger, of the workers' time",
        "≤ 7",
        lambda cases: None if "ledger_share" not in cases.get("shares", {}) else cases["shares"]["ledger_share"] * 100,
        "%",
    ),
    Goal("peak memory of a worker", "stated", lambda cases: cases.get("rsa", {}).get("peak_rss_mib"), "MiB"),
    Goal(
        "20 ms, TLS, 5 % refused for now: of aiosmtplib",
        "≥ 3",
        lambda cases: over(rate(cases, "remote"), rate(cases, "remote_aiosmtplib")),
    ),
    Goal(
        "  the same without the start of the workers",
        "",
        lambda cases: over(rate(cases, "remote", "loop_seconds"), rate(cases, "remote_aiosmtplib")),
    ),
)


def summary(repetitions: Repetitions) -> dict[str, dict[str, Any]]:
    """case → spreads over the repetitions of its rate, of its ratio to the anchor within each, of memory and processor time."""
    names = list(dict.fromkeys(name for one in repetitions for name in one["cases"]))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        ran = [one["cases"] for one in repetitions if "skipped" not in one["cases"].get(name, {"skipped": ""})]
        if not ran:
            found[name] = {"skipped": repetitions[0]["cases"][name]["skipped"]}
            continue
        kinds: dict[str, Callable[[Cases], float | None]] = {
            "per_second": lambda cases, name=name: rate(cases, name),
            "per_second_in_loop": lambda cases, name=name: rate(cases, name, "loop_seconds"),
            "of_smtp_source": lambda cases, name=name: against_anchor(cases, name),
            **{
                kind: lambda cases, name=name, kind=kind: cases[name].get(kind)
                for kind in ("cpu_us", "sink_cpu_us", "peak_rss_mib", "ledger_share")
            },
        }
        spreads = {
            kind: spread(value for cases in ran if (value := find(cases)) is not None) for kind, find in kinds.items()
        }
        found[name] = {"messages": ran[0][name]["messages"]} | {key: one for key, one in spreads.items() if one}
    return found


def goals(repetitions: Repetitions) -> list[dict[str, Any]]:
    """Each goal with what was found in each repetition it could be taken from."""
    told = []
    for goal in GOALS:
        found = [value for one in repetitions if (value := goal.find(one["cases"])) is not None]
        told.append({"goal": goal.name, "asked": goal.asked, "unit": goal.unit, "each": found, "found": spread(found)})
    return told


def parts(repetitions: Repetitions, case: str) -> dict[str, Spread]:
    """part of the delivery loop → µs per message, from the case with a stopwatch."""
    each = [one["cases"].get(case, {}).get("parts_us", {}) for one in repetitions]
    names = sorted({name for one in each for name in one})
    return {name: found for name in names if (found := spread(one[name] for one in each if name in one))}


def steps(repetitions: Repetitions) -> dict[str, Spread]:
    """step of one mail → µs, of each repetition its median."""
    each = [one["cases"].get("micro", {}).get("steps", {}) for one in repetitions]
    names = list(dict.fromkeys(name for one in each for name in one))
    return {name: found for name in names if (found := spread(one[name]["median"] for one in each if name in one))}


# --- Markdown ---------------------------------------------------------------------------------------------------------


def told(found: Spread | None, digits: int = 0) -> str:
    """`median [least to most]`, or a dash."""
    if not found:
        return "-"
    middle, least, most = (f"{found[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return middle if least == most else f"{middle} [{least} to {most}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_between(file: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`; ends with one line when the file lacks them."""
    marks = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    try:
        content = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemExit(
            f"{file}: {error.strerror}; allowed: a file with the lines {marks[0]} and {marks[1]}"
        ) from None
    pattern = re.compile(rf"({re.escape(marks[0])}\n).*?({re.escape(marks[1])})", re.DOTALL)
    if not pattern.search(content):
        raise SystemExit(
            f"{file}: found no marks; allowed: the lines {marks[0]} and {marks[1]}, what is between is replaced"
        )
    file.write_text(pattern.sub(lambda match: f"{match[1]}{text}\n{match[2]}", content), encoding="utf-8")
