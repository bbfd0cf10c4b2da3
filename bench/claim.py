"""How long it takes to claim a large released audience, and how much memory: `python -m bench.claim --messages 1000000`.

The audience is planned, drafted and released through the ledger's own calls in a process of its own; only the claims are measured.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import cases, machine, results

ASKED_SECONDS, ASKED_MIB = 60, 1024
PREPARED_AT_ONCE = 20_000
ROW_OCTETS = 6_000  # of a message in the ledger besides its draft's HTML, with its events


def main(
    messages: Annotated[int, typer.Option(min=1, help="released messages")] = 1_000_000,
    repetitions: Annotated[int, typer.Option(min=1, help="each on a fresh copy")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=64, help="processes that claim")] = 1,
    at_once: Annotated[int, typer.Option(min=1, help="messages in one claim; delivering asks for 200")] = 200,
    draft_octets: Annotated[int, typer.Option(min=50, help="HTML of a draft, which a claim reads")] = 10_000,
    most_seconds: Annotated[float, typer.Option(min=1, help="give up after so long and say how far it came")] = 900,
    folder: Annotated[Path | None, typer.Option(help="where the ledger lies; default the temporary folder")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="everything that was measured")] = None,
    docs: Annotated[Path | None, typer.Option(help="Markdown file with the marks bench:claim")] = None,
) -> None:
    """Claim a released audience, print a table."""
    machine.require_bytecode()
    order = cases.Order("", messages, workers, draft_octets=draft_octets, at_once=at_once, most_seconds=most_seconds)
    with tempfile.TemporaryDirectory(prefix="postrider-bench-", dir=folder) as name:
        document = measure(Path(name), order, repetitions)
    if json_file:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = markdown(document)
    print(text)
    if docs:
        results.write_between(docs, "claim", text)


def measure(folder: Path, order: cases.Order, repetitions: int) -> dict[str, Any]:
    """Machine, settings, the seconds of preparing, and each repetition."""
    free, needed = shutil.disk_usage(folder).free, 2 * order.messages * (order.draft_octets + ROW_OCTETS)
    if free < needed:
        raise SystemExit(f"{folder}: found {free / 2**30:.1f} GiB free, allowed: {needed / 2**30:.1f} or more")
    described = machine.describe(folder)
    prepared = folder / "prepared"
    prepared.mkdir()
    made = cases.in_a_process("prepare", dataclasses.replace(order, home=str(prepared), at_once=PREPARED_AT_ONCE))
    found = []
    for number in range(1, repetitions + 1):
        print(f"{number}: claim", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as home:
            if number < repetitions:
                shutil.copy(prepared / cases.LEDGER, home)
            else:  # the last one needs no copy
                shutil.move(prepared / cases.LEDGER, home)
            found.append(cases.in_a_process("claim", dataclasses.replace(order, home=home)))
    settings = {
        name: getattr(order, name) for name in ("messages", "workers", "at_once", "draft_octets", "most_seconds")
    }
    return {"machine": described, "settings": settings, "prepare": made, "repetitions": found}


def markdown(document: dict[str, Any]) -> str:
    settings, found = document["settings"], document["repetitions"]
    claimed = min(one["messages"] for one in found)
    is_whole = claimed == settings["messages"]
    rows = [
        (f"seconds for {claimed:,} messages", f"≤ {ASKED_SECONDS} for a million", _told(found, "seconds", 1)),
        ("peak memory of a worker, MiB", f"≤ {ASKED_MIB}", _told(found, "peak_rss_mib")),
        (f"one claim of {settings['at_once']}, ms: the first tenth", "", _told(found, "first_ms", 1)),
        (f"one claim of {settings['at_once']}, ms: the last tenth", "", _told(found, "last_ms", 1)),
    ]
    ended = "" if is_whole else f" Given up after {settings['most_seconds']:.0f} s, with {claimed:,} claimed."
    return "\n\n".join(
        [
            f"{machine.sentence(document['machine'])}.",
            (
                f"{settings['messages']:,} released messages with {settings['draft_octets']:,} octets of HTML each, claimed"
                f" {settings['at_once']} in a call, nothing sent meanwhile. Workers: {settings['workers']}, repetitions:"
                f" {len(found)}.{ended}"
            ),
            results.table(("claiming", "asked", "found"), rows),
        ]
    )


def _told(found: list[dict[str, Any]], name: str, digits: int = 0) -> str:
    return results.told(results.spread(one[name] for one in found), digits)


if __name__ == "__main__":
    typer.run(main)
