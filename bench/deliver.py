"""How fast mails leave, against smtp-source, against the script one would write instead, and over a slow way: `make bench`.

    python -m bench.deliver --messages 100000 --repetitions 5 --json bench.json --docs docs/performance.md

Every repetition runs every case once, one after the other, so that what else the machine does falls on all of them; a ratio is taken
within a repetition. Nothing leaves the machine, and everything is put into one folder that is removed at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench import cases, machine, report, results
from bench.own_sink import OwnSink
from bench.postfix import SOURCE_SESSIONS, MissingError, Postfix, find_postfix, smtp_sink, smtp_source
from bench.servers import LOOPBACK, Server
from bench.slow_way import SlowWay, make_certificate

RTT_MS = 20.0
REFUSE_EVERY = 20  # 5 %
LEDGER_BYTES = 60_000  # per message of disk: what a mail takes when it is drafted, and again when it is sent


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One case: its title, the file's function that runs it, how many messages it sends, and what it is given."""

    title: str
    kind: str  # of cases.CASES, or smtp_source
    size: Literal["messages", "sample", "naive", "naive_dkimpy"] = "messages"
    ledger: Literal["", "messages", "sample"] = ""  # a copy of the released ledger with so many
    key: Literal["", "rsa", "ed25519"] = ""
    is_remote: bool = False
    is_alone: bool = False  # one worker
    has_own_sinks: bool = False  # one for each worker
    needs: str = ""  # a module that may not be installed


PLANS: Mapping[str, Plan] = {
    "prepare": Plan("plan, render, draft, route, release (one process)", "prepare"),
    results.ANCHOR: Plan(f"smtp-source, {SOURCE_SESSIONS} sessions", "smtp_source"),
    "transport": Plan("transport alone, prebuilt mails, no ledger", "transport"),
    "transport_own_sinks": Plan("transport alone, a sink for each worker", "transport", has_own_sinks=True),
    "rsa": Plan("build + RSA-2048 + ledger + send", "deliver", ledger="messages", key="rsa"),
    "ed25519": Plan("build + Ed25519 + ledger + send", "deliver", ledger="messages", key="ed25519"),
    "unsigned": Plan("build + ledger + send", "deliver", ledger="messages"),
    "shares": Plan("RSA-2048 with a stopwatch", "shares", ledger="messages", key="rsa"),
    "alone": Plan(
        "RSA-2048 with a stopwatch, one worker", "shares", "sample", ledger="sample", key="rsa", is_alone=True
    ),
    "micro": Plan("steps of one mail", "micro", "sample"),
    "naive": Plan("naive script, unsigned", "naive", "naive", is_alone=True),
    "naive_dkimpy": Plan(
        "naive script, dkimpy RSA-2048", "naive", "naive_dkimpy", key="rsa", is_alone=True, needs="dkim"
    ),
    "remote": Plan(
        "20 ms, TLS, 5 % 451: RSA-2048 + ledger + send", "deliver", "sample", "sample", "rsa", is_remote=True
    ),
    "remote_aiosmtplib": Plan(
        "20 ms, TLS, 5 % 451: aiosmtplib, prebuilt mails", "aiosmtplib", "sample", is_remote=True, needs="aiosmtplib"
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What holds for all repetitions. `sizes` are messages per case by the name of `Plan.size`."""

    folder: Path
    sizes: Mapping[str, int]
    workers: int
    postfix: Postfix | None  # None: the sink of our own, and no smtp-source
    refuse_at: str
    keys: Mapping[str, Path]
    certificate: Path
    octets: int

    def one(self, name: str) -> dict[str, Any]:
        """The figures of one case, or why it was skipped. RuntimeError when a message was lost: that is no result."""
        plan = PLANS[name]
        count = self.sizes[plan.size]
        if plan.kind == "smtp_source":
            return self._source(count)
        if plan.needs and importlib.util.find_spec(plan.needs) is None:
            return {"skipped": f"{plan.needs} is not installed"}
        with self._home(plan) as home, self._sink(plan) as (sink, *ports):
            key = str(self.keys[plan.key]) if plan.key else ""
            order = cases.Order(
                home=str(home),
                messages=count,
                workers=1 if plan.is_alone else self.workers,
                smtp_url=f"smtp://{LOOPBACK}:{ports[0]}?starttls={'required' if plan.is_remote else 'never'}",
                ports=tuple(ports[1:]),
                keys=f"bench={key}" if key and plan.kind != "naive" else key,
                trust=str(self.certificate) if plan.is_remote else "",
            )
            figures = cases.in_a_process(plan.kind, order)
            if sink is not None:
                figures["sink_cpu_us"] = sink.cpu_seconds() / count * 1e6
            if isinstance(sink, OwnSink):
                figures["sink"] = sink.counts()
        _check(name, plan, count, figures)
        return figures

    def _source(self, count: int) -> dict[str, Any]:
        if self.postfix is None:
            return {"skipped": "it needs Debian's postfix package"}
        with smtp_sink(self.postfix) as sink:
            seconds = smtp_source(self.postfix, sink.port, count, self.octets)
            return {"messages": count, "seconds": seconds, "sink_cpu_us": sink.cpu_seconds() / count * 1e6}

    @contextlib.contextmanager
    def _home(self, plan: Plan) -> Iterator[Path]:
        """An empty folder, or one with a copy of the released ledger, written out before the clock runs. `prepare` leaves its own."""
        if plan.kind == "prepare":
            yield self.prepared("messages")
            return
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            if plan.ledger:
                copy = Path(shutil.copy(self.prepared(plan.ledger) / cases.LEDGER, name))
                with copy.open("rb") as file:
                    os.fsync(file.fileno())
            yield Path(name)

    @contextlib.contextmanager
    def _sink(self, plan: Plan) -> Iterator[tuple[Any, ...]]:
        """The sink, None where there is none or several; the port at which it is reached; then a port for each worker, if so planned."""
        with contextlib.ExitStack() as stack:
            if plan.kind in ("prepare", "micro"):
                yield None, 0
            elif plan.is_remote:
                sink = stack.enter_context(OwnSink(REFUSE_EVERY, self.refuse_at))
                yield sink, stack.enter_context(SlowWay(sink.port, RTT_MS, self.certificate)).port
            elif plan.has_own_sinks:
                ports = [stack.enter_context(self._plain_sink()).port for _ in range(self.workers)]
                yield None, ports[0], *ports
            else:
                sink = stack.enter_context(self._plain_sink())
                yield sink, sink.port

    def _plain_sink(self) -> contextlib.AbstractContextManager[Server]:
        return smtp_sink(self.postfix) if self.postfix else OwnSink()

    def prepared(self, size: str) -> Path:
        """The folder with the released ledger of this size."""
        return self.folder / f"prepared-{size}"


def main(
    messages: Annotated[int, typer.Option(min=1, help="mails of each case, except those that are sampled")] = 20_000,
    repetitions: Annotated[int, typer.Option(min=1, help="of all cases, one after the other")] = 5,
    workers: Annotated[int, typer.Option(min=1, max=64, help="processes that send, one connection each")] = 4,
    names: Annotated[str, typer.Option("--cases", help=f"all, or some of {', '.join(PLANS)}; comma-separated")] = "all",
    sample: Annotated[int, typer.Option(min=1, help="mails over the slow way and of one worker alone")] = 2_000,
    naive: Annotated[int, typer.Option(min=1, help="mails of the naive script; its time is scaled")] = 500,
    naive_dkimpy: Annotated[int, typer.Option(min=1, help="the same with dkimpy")] = 100,
    sink: Annotated[Literal["postfix", "own"], typer.Option(help="own: counts, needs nothing, is slower")] = "postfix",
    refuse_at: Annotated[Literal["rcpt", "dot"], typer.Option(help="where the slow way's sink says 451")] = "rcpt",
    folder: Annotated[
        Path | None, typer.Option(help="where ledgers lie; default the system's temporary folder")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="everything that was measured")] = None,
    docs: Annotated[Path | None, typer.Option(help="Markdown file with the marks bench:deliver")] = None,
) -> None:
    """Measure the delivery, print a table."""
    machine.require_bytecode()
    chosen = list(PLANS) if names == "all" else [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in PLANS]:
        raise SystemExit(f"--cases: found {unknown[0]}, allowed: all, {', '.join(PLANS)}")
    sizes = {"messages": messages, "sample": sample, "naive": naive, "naive_dkimpy": naive_dkimpy}
    with tempfile.TemporaryDirectory(prefix="postrider-bench-", dir=folder) as name:
        document = measure(Path(name), chosen, repetitions, sizes, workers, sink, refuse_at)
    if json_file:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = report.markdown(document, {name: plan.title for name, plan in PLANS.items()})
    print(text)
    if docs:
        results.write_between(docs, "deliver", text)


def measure(
    folder: Path,
    chosen: list[str],
    repetitions: int,
    sizes: Mapping[str, int],
    workers: int,
    sink: str,
    refuse_at: str = "rcpt",
) -> dict[str, Any]:
    """The whole document: machine, settings, each repetition, summary, goals, steps and parts in µs."""
    from bench import mails

    free, needed = shutil.disk_usage(folder).free, sizes["messages"] * LEDGER_BYTES
    if free < needed:
        raise SystemExit(f"{folder}: found {free / 2**30:.1f} GiB free, allowed: {needed / 2**30:.1f} or more")
    try:
        postfix = find_postfix(folder) if sink == "postfix" else None
    except MissingError as missing:
        raise SystemExit(f"{missing}; without it: --sink own, which has no smtp-source to compare with") from None
    run = Run(
        folder,
        sizes,
        workers,
        postfix,
        refuse_at,
        {kind: mails.make_key(kind, folder) for kind in ("rsa", "ed25519")},
        make_certificate(folder),
        mails.mean_octets(),
    )
    described = machine.describe(folder)
    needed_ledgers = {PLANS[name].ledger for name in chosen} - {""}
    done = []
    for number in range(1, repetitions + 1):
        load = os.getloadavg()[0]
        done.append(
            {"number": number, "load": round(load, 2), "cases": _repetition(run, chosen, needed_ledgers, number)}
        )
    return {
        "machine": described,
        "settings": {
            **sizes,
            "workers": workers,
            "repetitions": repetitions,
            "octets": run.octets,
            "sink": f"smtp-sink of postfix {postfix.version}, {postfix.origin}" if postfix else "our own",
            "rtt_ms": RTT_MS,
            "refused": f"every {REFUSE_EVERY}th message at {refuse_at}",
        },
        "repetitions": done,
        "summary": results.summary(done),
        "goals": results.goals(done),
        "steps_us": results.steps(done),
        "parts_us": {name: results.parts(done, name) for name in ("alone", "shares")},
    }


def _repetition(run: Run, chosen: list[str], ledgers: set[str], number: int) -> dict[str, dict[str, Any]]:
    """case → figures, each case once. The ledgers are made anew, and removed at the end."""
    found: dict[str, dict[str, Any]] = {}
    for size in ("messages", "sample"):
        run.prepared(size).mkdir()
    try:
        if "sample" in ledgers:
            cases.in_a_process("prepare", cases.Order(str(run.prepared("sample")), run.sizes["sample"]))
        names = chosen if "prepare" in chosen or "messages" not in ledgers else ["prepare", *chosen]
        for name in sorted(names, key=list(PLANS).index):
            _say(f"{number}: {name}")
            found[name] = run.one(name)
    finally:
        for size in ("messages", "sample"):
            shutil.rmtree(run.prepared(size))
    return found


def _check(name: str, plan: Plan, count: int, figures: Mapping[str, Any]) -> None:
    """Every message has one outcome, and what the sink took is what was sent: once each, where the mails differ."""
    outcomes = figures.get("outcomes")
    if outcomes is None:
        return
    allowed = {"sent", "not_sent", "deferred"} if plan.is_remote else {"sent"}
    if sum(outcomes.values()) != count or not outcomes.keys() <= allowed:
        raise RuntimeError(f"{name}: {count} messages came to {outcomes}")
    taken = figures.get("sink")
    if taken and taken["accepted"] != outcomes["sent"]:
        raise RuntimeError(f"{name}: {outcomes['sent']} sent, {taken['accepted']} accepted by the sink")
    if taken and plan.ledger and taken["distinct"] != taken["accepted"]:
        raise RuntimeError(f"{name}: {taken['accepted']} accepted, {taken['distinct']} of them different")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
