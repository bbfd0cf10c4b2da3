"""How fast drafts are filled in, beside Jinja: `python -m bench.draft --recipients 100000 --docs docs/performance.md`.

Every repetition runs every case once, each in a process of its own, so that what else the machine does falls on all of them; a ratio is
taken within a repetition.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import cases, drafting, machine, results
from dagster_project.lifecycle.drafting import GROUP

MODULE = "bench.drafting"
PROCESSES = 4
RECIPIENTS_PER_CALL = 500  # asked for: at least
TITLES: Mapping[str, str] = {
    "jinja": "rendered by Jinja, one process",
    "filled": "filled in, one process: what a tick does",
    "hashed": "the same with each draft's hash",
    "assisted": "with known answers of a model, one process",
    "shared": f"filled in, {PROCESSES} processes, each its part",
}
HEAD = (
    "case",
    "recipients",
    "drafts/s",
    "µs per recipient",
    "processor µs",
    "times Jinja",
    "MiB before",
    "MiB at most",
)
SETTING = """\
{repetitions} repetitions, all cases interleaved, each in a process of its own, median [least to most]; a ratio is taken within its repetition.
The eleven templates take turns, HTML and text of some 14 kB; "with known answers" are the {assisted} that have slots, every answer read from
a ledger. In every figure: the facts prepared, subject, preheader, HTML, text, the signed link, the recipe with its hashes. Drafts are made
{group:,} at a time and let go; the ledger's work is in the table of delivering. "MiB before" are interpreter, templates and the messages
themselves; for {processes} processes, of the largest one."""
CALLS = """\
Calls of a model, counted with a scripted writer in place of a server, over the ledger's own memory of answers; one person in {lacking} has no first
name, another no company."""


def main(
    recipients: Annotated[int, typer.Option(min=1_000)] = 100_000,
    repetitions: Annotated[int, typer.Option(min=1, help="of all cases, one after the other")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="everything that was measured")] = None,
    docs: Annotated[Path | None, typer.Option(help="Markdown file with the marks bench:draft")] = None,
) -> None:
    """Measure drafting, print the tables."""
    machine.require_bytecode()
    with tempfile.TemporaryDirectory(prefix="postrider-bench-") as name:
        document = measure(Path(name), recipients, repetitions)
    if json_file:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = markdown(document)
    print(text)
    if docs:
        results.write_between(docs, "draft", text)


def measure(folder: Path, recipients: int, repetitions: int) -> dict[str, Any]:
    """Machine, settings, each repetition, and the calls, which are the same in each."""
    described = machine.describe(folder)
    done = []
    for number in range(1, repetitions + 1):
        found = {}
        for name in TITLES:
            print(f"{number}: {name}", file=sys.stderr, flush=True)
            processes = PROCESSES if name == "shared" else 1
            order = drafting.Order(recipients, str(folder / f"{number}-{name}"), processes)
            found[name] = cases.in_a_process(name, order, module=MODULE)
        done.append({"number": number, "cases": found})
    counted = cases.in_a_process("calls", drafting.Order(recipients, str(folder / "calls")), module=MODULE)
    settings = {
        "repetitions": repetitions,
        "group": GROUP,
        "processes": PROCESSES,
        "assisted": counted["all"]["campaigns"],
        "lacking": drafting.LACKING,
    }
    return {"machine": described, "settings": settings, "repetitions": done, "calls": counted}


def markdown(document: Mapping[str, Any]) -> str:
    """The machine, the table of cases, the table of calls."""
    each, counted = [one["cases"] for one in document["repetitions"]], document["calls"]
    allowed = counted["recipients"] // RECIPIENTS_PER_CALL
    calls = [
        (
            title,
            f"{counted['recipients']:,}",
            f"≤ {allowed}",
            f"{counted[name]['first']:,}",
            f"{counted[name]['second']:,}",
        )
        for name, title in (("winback", "winback"), ("all", f"all {counted['all']['campaigns']} campaigns with slots"))
    ]
    return "\n\n".join(
        [
            f"{machine.sentence(document['machine'])}.",
            SETTING.format(**document["settings"]),
            results.table(HEAD, [_row(name, title, each) for name, title in TITLES.items()]),
            CALLS.format(**document["settings"]),
            results.table(("assisted", "recipients", "asked", "calls, first run", "calls, second run"), calls),
        ]
    )


def _row(name: str, title: str, each: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    def told(find: Callable[[Mapping[str, Any]], float], digits: int = 0) -> str:
        return results.told(results.spread(find(one) for one in each), digits)

    return (
        title,
        f"{each[0][name]['recipients']:,}",
        told(lambda one: one[name]["recipients"] / one[name]["seconds"]),
        told(lambda one: one[name]["seconds"] / one[name]["recipients"] * 1e6, 1),
        told(lambda one: one[name]["cpu_seconds"] / one[name]["recipients"] * 1e6, 1),
        told(lambda one: _per_second(one[name]) / _per_second(one["jinja"]), 2),
        told(lambda one: one[name]["before_mib"]),
        told(lambda one: one[name]["peak_mib"]),
    )


def _per_second(figures: Mapping[str, Any]) -> float:
    return figures["recipients"] / figures["seconds"]


if __name__ == "__main__":
    typer.run(main)
