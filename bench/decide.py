"""How fast people are decided on, beside reading the events at all and beside pandas and polars: `python -m bench.decide`.

    python -m bench.decide --events 1000000,10000000,100000000 --repetitions 5,3,1 --json decide.json --docs docs/performance.md

The demo company is made anew for each size, with users in proportion. Every repetition runs every case once, each in a process of its own,
so that what else the machine does falls on all of them; a ratio is taken within a repetition.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import activity, cases, deciding, machine, results

EVENTS_PER_USER = 100  # of the demo company in its 120 days, about
EVENT_OCTETS = 120  # of disk: the files, the warehouse, what spills
MODULE = "bench.deciding"
ASKED_MIB = 2 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One case: its title, the function that runs it, and under which limit."""

    title: str
    kind: str
    memory_limit: str = "8GB"
    needs: str = ""  # a module that may not be installed
    most_events: int = 10**12  # it holds them all in memory, so it is left out where there are more


PLANS: Mapping[str, Plan] = {
    "scan": Plan("read four columns of every event", "scan"),
    "activity": Plan("activity of each user, the models", "activity"),
    "activity_carried": Plan("the same, moved on from the day before", "activity_carried"),
    "polars": Plan("the same activity, polars", "polars", needs="polars", most_events=20_000_000),
    "pandas": Plan("the same activity, pandas", "pandas", needs="pandas", most_events=20_000_000),
    "decide": Plan("decide: every model up to the verdicts", "decide"),
    "decide_2gb": Plan("decide, within 2 GB", "decide", memory_limit="2GB"),
    "decide_carried": Plan("decide, moved on from the day before", "decide_carried"),
}
HEAD = ("case", "seconds", "times the scan", "rows out", "peak MiB")
SETTING = """\
{repetitions} repetitions of the sizes, all cases interleaved, each in a process of its own, {threads} threads; median [least to most]; a
ratio is taken within its repetition. The company has a user for each {events_per_user} events and {days} days of usage. The SQL is the
models' own, run by DuckDB from Parquet files to the verdicts; dbt's own time and the landing of the files are in no figure. polars and
pandas make the same columns, row by row equal, and their import is not counted. Every run of `decide` gave the same verdicts, by hash.
"Moved on": a daily tick that carries on what one a day earlier kept ([state.md](state.md)); looking whether it may is not counted."""


def main(
    events: Annotated[str, typer.Option(help="sizes, comma-separated")] = "1000000,10000000",
    repetitions: Annotated[str, typer.Option(help="of all cases; one number, or one for each size")] = "5",
    threads: Annotated[int, typer.Option(min=1, max=64, help="of DuckDB and polars")] = 4,
    folder: Annotated[Path | None, typer.Option(help="where the company lies; default the temporary folder")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="everything that was measured")] = None,
    docs: Annotated[Path | None, typer.Option(help="Markdown file with the marks bench:decide")] = None,
) -> None:
    """Measure deciding, print a table."""
    machine.require_bytecode()
    sizes = _numbers("--events", events, EVENTS_PER_USER)
    times = _numbers("--repetitions", repetitions, 1)
    if sizes != sorted(set(sizes)):
        raise SystemExit(f"--events: found {events!r}, allowed: each size once, smallest first")
    if len(times) not in {1, len(sizes)}:
        raise SystemExit(
            f"--repetitions: found {repetitions!r}, allowed: one number, or one for each of {len(sizes)} sizes"
        )
    plan = dict(zip(sizes, times if len(times) > 1 else times * len(sizes), strict=True))
    with tempfile.TemporaryDirectory(prefix="postrider-bench-", dir=folder) as name:
        document = measure(Path(name), plan, threads)
    if json_file:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = markdown(document)
    print(text)
    if docs:
        results.write_between(docs, "decide", text)


def _numbers(option: str, text: str, least: int) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise SystemExit(f"{option}: found {text!r}, allowed: whole numbers, comma-separated") from None
    if min(numbers) < least:
        raise SystemExit(f"{option}: found {min(numbers)}, allowed: {least} or more")
    return numbers


def measure(folder: Path, plan: Mapping[int, int], threads: int) -> dict[str, Any]:
    """Machine, settings, and of each size (events to repetitions) the company and each repetition. RuntimeError when two cases that should
    agree do not."""
    free, needed = shutil.disk_usage(folder).free, max(plan) * EVENT_OCTETS
    if free < needed:
        raise SystemExit(f"{folder}: found {free / 2**30:.1f} GiB free, allowed: {needed / 2**30:.1f} or more")
    described = machine.describe(folder)
    found = [_size(folder / str(size), size, repetitions, threads) for size, repetitions in plan.items()]
    settings = {
        "repetitions": ", ".join(map(str, plan.values())),
        "threads": threads,
        "events_per_user": EVENTS_PER_USER,
        "days": 120,
    }
    return {"machine": described, "settings": settings, "sizes": found, "goals": goals(found)}


def _size(folder: Path, size: int, repetitions: int, threads: int) -> dict[str, Any]:
    folder.mkdir()
    _say(f"{size}: company")
    users = size // EVENTS_PER_USER
    made = cases.in_a_process("prepare", deciding.Order(str(folder), "", users, threads), module=MODULE)
    done = []
    for number in range(1, repetitions + 1):
        one: dict[str, Any] = {}
        scratches = {name: folder / name for name in PLANS}
        for name, plan in PLANS.items():
            _say(f"{size}: {number}: {name}")
            one[name] = _case(folder, scratches[name], plan, made["rows"]["events"], threads)
        _agree(one, [done_["cases"] for done_ in done])
        for scratch in scratches.values():
            shutil.rmtree(scratch, ignore_errors=True)
        for figures in one.values():
            figures.pop("out", None)
        done.append({"number": number, "cases": one})
    shutil.rmtree(folder)
    return {"events": made["rows"]["events"], "users": users, "company": made, "repetitions": done}


def _case(folder: Path, scratch: Path, plan: Plan, events: int, threads: int) -> dict[str, Any]:
    if plan.needs and importlib.util.find_spec(plan.needs) is None:
        return {"skipped": f"{plan.needs} is not installed"}
    if events > plan.most_events:
        return {"skipped": f"holds all in memory: not above {plan.most_events:,}"}
    scratch.mkdir()
    order = deciding.Order(str(folder), str(scratch), threads=threads, memory_limit=plan.memory_limit)
    return cases.in_a_process(plan.kind, order, "env", f"POLARS_MAX_THREADS={threads}", module=MODULE)


def _agree(one: Mapping[str, Mapping[str, Any]], earlier: Sequence[Mapping[str, Mapping[str, Any]]]) -> None:
    """The same verdicts whatever the limit and the repetition; the same activity whoever made it."""
    hashes = {found[name]["hash"] for found in (one, *earlier) for name in ("decide", "decide_2gb", "decide_carried")}
    if len(hashes) > 1:
        raise RuntimeError(f"the verdicts differ between runs: {', '.join(sorted(hashes))}")
    for name in ("activity_carried", "polars", "pandas"):
        if "skipped" not in one[name] and (different := _differences(one["activity"]["out"], one[name]["out"])):
            raise RuntimeError(f"{name}: {different} rows of activity differ from the models'")


def _differences(ours: str, theirs: str) -> int:
    """Rows that are in one of the two only."""
    import duckdb

    columns = ", ".join(
        f"cast({name} as {kind}) as {name}"
        for name in activity.COLUMNS
        for kind in ["boolean" if name == "is_bot" else "timestamp" if name.endswith(("_since", "_at")) else "bigint"]
    )
    one, other = (f"select user_id, {columns} from read_parquet('{file}')" for file in (ours, theirs))
    with duckdb.connect() as connection:
        count = connection.execute(
            f"select count(*) from (({one} except {other}) union all ({other} except {one}))"
        ).fetchone()
    return int(count[0]) if count else 0


# --- figures ----------------------------------------------------------------------------------------------------------


def seconds(found: Mapping[str, Any], name: str) -> list[float]:
    """Of each repetition that ran the case."""
    return [one["cases"][name]["seconds"] for one in found["repetitions"] if "seconds" in one["cases"][name]]


def ratios(found: Mapping[str, Any], upper: str, lower: str) -> list[float]:
    """Within each repetition that ran both."""
    both = (one["cases"] for one in found["repetitions"])
    return [
        one[upper]["seconds"] / one[lower]["seconds"]
        for one in both
        if "seconds" in one[upper] and "seconds" in one[lower]
    ]


def exponent(sizes: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], float]) -> list[float]:
    """How a figure grows with the events from the last size but one to the last: 1 is in proportion."""
    if len(sizes) < 2:  # noqa: PLR2004 - growth needs two
        return []
    smaller, larger = sizes[-2:]
    return [math.log(read(larger) / read(smaller)) / math.log(larger["events"] / smaller["events"])]


def goals(sizes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each figure that was asked for, at the largest size at which it was measured."""
    largest = sizes[-1]
    with_pandas = [found for found in sizes if seconds(found, "pandas")] or [largest]

    def middle(found: Mapping[str, Any]) -> float:
        return statistics.median(seconds(found, "decide"))

    def peak(found: Mapping[str, Any]) -> float:
        """Within 2 GB: with more DuckDB takes what it may."""
        return statistics.median(one["cases"]["decide_2gb"]["peak_rss_mib"] for one in found["repetitions"])

    asked = (
        ("decide, times the scan", "≤ 10", ratios(largest, "decide", "scan")),
        ("peak memory of decide within 2 GB, MiB", f"≤ {ASKED_MIB}", [peak(largest)]),
        ("polars, times the models' activity", "≥ 1.5", ratios(with_pandas[-1], "polars", "activity")),
        ("pandas, times the models' activity", "≥ 7", ratios(with_pandas[-1], "pandas", "activity")),
        ("activity anew, times moved on", "≥ 5", ratios(largest, "activity", "activity_carried")),
        ("decide anew, times moved on", "≥ 5", ratios(largest, "decide", "decide_carried")),
        ("growth of time, exponent", "≤ 1.0", exponent(sizes, middle)),
        ("growth of memory within 2 GB, exponent", "≤ 0.5", exponent(sizes, peak)),
    )
    return [{"goal": name, "asked": what, "each": each, "found": results.spread(each)} for name, what, each in asked]


def markdown(document: Mapping[str, Any]) -> str:
    pieces = [f"{machine.sentence(document['machine'])}.", SETTING.format(**document["settings"])]
    for found in document["sizes"]:
        pieces.append(f"{found['events']:,} events of {found['users']:,} users:")
        pieces.append(results.table(HEAD, [_row(found, name, plan.title) for name, plan in PLANS.items()]))
        slowest = found["repetitions"][-1]["cases"]["decide"]["slowest"]
        told = ", ".join(f"`{name}` {spent:.2f} s" for name, spent in slowest.items())
        pieces.append(f"Of `decide`, the slowest of its models in the last repetition: {told}.")
    rows = [
        (one["goal"], one["asked"], results.told(one["found"], 2) if one["found"] else "not run")
        for one in document["goals"]
    ]
    return "\n\n".join([*pieces, results.table(("goal", "asked", "found"), rows)])


def _row(found: Mapping[str, Any], name: str, title: str) -> tuple[str, ...]:
    ran = [one["cases"][name] for one in found["repetitions"]]
    if "skipped" in ran[0]:
        return (title, f"skipped: {ran[0]['skipped']}", "-", "-", "-")
    return (
        title,
        results.told(results.spread(seconds(found, name)), 2),
        results.told(results.spread(ratios(found, name, "scan")), 1),
        f"{ran[0]['rows']:,}" if "rows" in ran[0] else "-",
        results.told(results.spread(one["peak_rss_mib"] for one in ran)),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
