"""One host against two on the same released ledger in PostgreSQL: `python -m bench.hosts --docs docs/performance.md`, as root.

The hosts are namespaces of this machine behind a bridge, where PostgreSQL and the sink listen: each has a hostname, a loopback and process
ids of its own, and a home. They share the machine's cores with each other, with PostgreSQL and with the sink: what a second host brings
here is the least that it would bring.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from bench import cases, machine, results
from bench.own_sink import OwnSink
from tests.hosts import Host, network
from tests.hosts import MissingError as NoHostsError
from tests.postgresql import MissingError as NoPostgreSQLError
from tests.postgresql import PostgreSQL, running

PREPARED, RUN = "prepared", "run"  # databases


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One case: so many hosts, each with so many times the workers that were asked for."""

    title: str
    hosts: int
    times: int = 1


PLANS: Mapping[str, Plan] = {
    "one": Plan("one host", 1),
    "double": Plan("one host, twice the workers", 1, 2),
    "two": Plan("two hosts", 2),
}
HEAD = (
    "case",
    "workers",
    "msg/s",
    "msg/s, workers running",
    "times one host",
    "CPU µs per mail",
    "PostgreSQL's",
    "sink's",
    "share",
)
SETTING = """\
{repetitions} repetitions, all cases interleaved, each on a copy of the same {messages:,} released messages, median [least to most]; a ratio is
taken within its repetition. RSA-2048 signatures; PostgreSQL {postgresql} with fsync; the bench's own sink, which counts. After each run the
sink had taken every message once, and the ledger called each of them sent; `verify` held after the last run of each case. `share` is the
first host's part of the messages."""


def main(
    messages: Annotated[int, typer.Option(min=1, help="released messages")] = 10_000,
    repetitions: Annotated[int, typer.Option(min=1, help="of all cases, one after the other")] = 3,
    workers: Annotated[int, typer.Option(min=1, max=16, help="processes that send, on each host")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="everything that was measured")] = None,
    docs: Annotated[Path | None, typer.Option(help="Markdown file with the marks bench:hosts")] = None,
) -> None:
    """Measure one host and two, print a table."""
    machine.require_bytecode()
    try:
        document = measure(messages, repetitions, workers)
    except (NoHostsError, NoPostgreSQLError) as missing:
        raise SystemExit(str(missing)) from None
    if json_file:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = markdown(document)
    print(text)
    if docs:
        results.write_between(docs, "hosts", text)


def measure(messages: int, repetitions: int, workers: int) -> dict[str, Any]:
    """Machine, settings, and each repetition. RuntimeError when a message was lost or came twice: that is no result."""
    from bench import mails

    with (
        tempfile.TemporaryDirectory(prefix="postrider-bench-") as name,
        network() as net,
        running([net.address], is_durable=True) as server,
    ):
        folder = Path(name)
        described = machine.describe(folder)
        ask = functools.partial(_ask, server.url(net.address))
        ask(f"CREATE DATABASE {PREPARED}")
        cases.in_a_process("prepare", cases.Order("", messages, ledger_url=server.url(net.address, PREPARED)))
        stage = Stage(folder, server, net.address, (net.host("one"), net.host("two")), mails.make_key("rsa", folder))
        done = []
        for number in range(1, repetitions + 1):
            found = {}
            for case, plan in PLANS.items():
                print(f"{number}: {case}", file=sys.stderr, flush=True)
                ask(f"DROP DATABASE IF EXISTS {RUN} WITH (FORCE)")
                ask(f"CREATE DATABASE {RUN} TEMPLATE {PREPARED}")
                ask("CHECKPOINT")  # what copying left to be written is not charged to the run
                found[case] = stage.run(plan, messages, workers)
                stage.check(messages, found[case]["sink"], is_verified=number == repetitions)
            done.append({"number": number, "cases": found})
        version = ask("SHOW server_version").split()[0]
    settings = {"messages": messages, "repetitions": repetitions, "workers": workers, "postgresql": version}
    return {"machine": described, "settings": settings, "repetitions": done}


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """What all runs have in common."""

    folder: Path
    server: PostgreSQL
    address: str
    hosts: Sequence[Host]
    key: Path

    @property
    def url(self) -> str:
        return self.server.url(self.address, RUN)

    def run(self, plan: Plan, messages: int, workers: int) -> dict[str, Any]:
        """The figures of one case; `seconds` and `loop_seconds` are those of the slower host."""
        hosts = self.hosts[: plan.hosts]
        with OwnSink(address=self.address) as sink, ThreadPoolExecutor(len(hosts)) as pool:
            order = cases.Order(
                home="",
                messages=messages,
                workers=workers * plan.times,
                smtp_url=f"smtp://{self.address}:{sink.port}?starttls=never",
                keys=f"bench={self.key}",
                ledger_url=self.url,
            )
            before = self.server.cpu_seconds()
            told = list(pool.map(functools.partial(self._deliver, order), hosts))
            return {
                "messages": sum(one["messages"] for one in told),
                "seconds": max(one["seconds"] for one in told),
                "loop_seconds": max(one["loop_seconds"] for one in told),
                "cpu_us": sum(one["cpu_us"] for one in told),
                "postgresql_cpu_us": (self.server.cpu_seconds() - before) / messages * 1e6,
                "sink_cpu_us": sink.cpu_seconds() / messages * 1e6,
                "share": told[0]["messages"] / messages,
                "sink": sink.counts(),
            }

    def _deliver(self, order: cases.Order, host: Host) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix=f"{host.name}-", dir=self.folder) as home:
            return cases.in_a_process("deliver", dataclasses.replace(order, home=home), *host.on())

    def check(self, messages: int, sink: Mapping[str, int], *, is_verified: bool) -> None:
        """Every message was taken once, and the ledger knows."""
        from dagster_project.adapters.clock import utc_now
        from dagster_project.ledger import open_ledger

        with open_ledger(self.url, utc_now) as ledger:
            states = dict(Counter(message.state for message in ledger.messages()))
            holds = not is_verified or ledger.verify()["ok"]
        if (sink["accepted"], sink["distinct"], states) != (messages, messages, {"sent": messages}) or not holds:
            raise RuntimeError(f"{messages} messages: the sink took {dict(sink)}, the ledger says {states}, {holds=}")


def _ask(url: str, statement: str) -> str:
    """The first word of the answer, if there is one."""
    with psycopg.connect(url, autocommit=True) as connection:
        answer = connection.execute(statement)
        row = answer.fetchone() if answer.description else None
        return str(row[0]) if row else ""


def markdown(document: Mapping[str, Any]) -> str:
    settings, done = document["settings"], document["repetitions"]
    rows = []
    for name, plan in PLANS.items():
        ran = [one["cases"][name] for one in done]
        shared = [
            results.over(
                results.rate(one["cases"], name, "loop_seconds"), results.rate(one["cases"], "one", "loop_seconds")
            )
            for one in done
        ]
        spreads = [
            results.spread(results.rate(one["cases"], name, seconds) or 0 for one in done)
            for seconds in ("seconds", "loop_seconds")
        ]
        rows.append(
            (
                plan.title,
                str(settings["workers"] * plan.times * plan.hosts),
                *map(results.told, spreads),
                results.told(results.spread(one for one in shared if one is not None), 2),
                *(
                    results.told(results.spread(one[kind] for one in ran))
                    for kind in ("cpu_us", "postgresql_cpu_us", "sink_cpu_us")
                ),
                results.told(results.spread(one["share"] for one in ran), 2),
            )
        )
    return "\n\n".join(
        [f"{machine.sentence(document['machine'])}.", SETTING.format(**settings), results.table(HEAD, rows)]
    )


if __name__ == "__main__":
    typer.run(main)
