"""One case in a process of its own: `python -m bench.cases NAME`, its orders as JSON on standard input, its figures as the last line.

A process per case, because the system's high-water mark of memory is one per process, and so that no case warms another one up.
Whatever is heavy is imported inside a case: a worker imports this file too, and must not be charged for what only the bench needs.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import os
import resource
import ssl
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

DIFFERENT_MAILS = 1024  # that `transport` sends again and again: more than Python keeps compiled patterns (512)
LEDGER = "ledger.sqlite"
LEASE_SECONDS = 6 * 3600.0  # of claims that nothing is done with: longer than any run, so that none is claimed twice


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a case is told. `home` holds the released ledger, unless `ledger_url` says where it is; `keys` is POSTRIDER_DKIM_KEYS, `trust`
    a certificate in PEM."""

    home: str
    messages: int
    workers: int = 1
    smtp_url: str = ""
    ports: tuple[int, ...] = ()  # of `transport`: a sink for each process, instead of one for all
    keys: str = ""
    trust: str = ""
    draft_octets: int = 0  # of the HTML of a stand-in draft; 0: the templates' own
    at_once: int = 0  # messages in one call to the ledger
    most_seconds: float = 0
    ledger_url: str = ""

    @property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{Path(self.home) / LEDGER}"

    def url_of(self, process: int) -> str:
        """Where this process sends."""
        return self.smtp_url.replace(f":{self.port}?", f":{self.ports[process]}?") if self.ports else self.smtp_url

    @property
    def port(self) -> int:
        return int(self.smtp_url.rpartition(":")[2].partition("?")[0])


Figures = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent


# --- Postrider --------------------------------------------------------------------------------------------------------


def prepare(order: Order) -> Figures:
    """Plan, render, draft, route and release, as a tick does in its one process: `steps` has the seconds of each."""
    from bench import mails

    if order.draft_octets:
        steps = mails.release(
            order.ledger,
            order.messages,
            at_once=order.at_once,
            draft_of=lambda message: mails.stand_in(message, order.draft_octets),
        )
    else:
        steps = mails.release(order.ledger, order.messages)
    return {
        "messages": order.messages,
        "seconds": sum(steps.values()),
        "steps": steps,
        "peak_rss_mib": _peak_mib(resource.RUSAGE_SELF),
    }


def deliver(order: Order) -> Figures:
    """What `postrider deliver --workers N` does. `seconds` is the whole call with the start of its workers, `loop_seconds` that of
    the slowest worker from its first claim on, `cpu_us` of all workers per message, `peak_rss_mib` of the largest worker."""
    from bench import mails
    from dagster_project.workers import Job, deliver_with

    job = Job(_settings(order), mails.AS_OF, mails.PACK)
    started = time.perf_counter()
    counts = deliver_with(order.workers, job)
    seconds = time.perf_counter() - started
    who = resource.RUSAGE_CHILDREN if order.workers > 1 else resource.RUSAGE_SELF
    used = resource.getrusage(who)
    return {
        "messages": sum(counts.outcomes.values()),
        "outcomes": dict(counts.outcomes),
        "seconds": seconds,
        "loop_seconds": counts.seconds,
        "cpu_us": (used.ru_utime + used.ru_stime) / order.messages * 1e6,
        "peak_rss_mib": _peak_mib(who),
    }


def transport(order: Order) -> Figures:
    """The channel alone: every process sends mails that were built before the clock ran, one connection each, no ledger."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(order.workers)
    shares = [len(range(number, order.messages, order.workers)) for number in range(order.workers)]
    orders = [dataclasses.replace(order, smtp_url=order.url_of(number), ports=()) for number in range(order.workers)]
    told = _in_processes(context, _transport, [(*pair, barrier) for pair in zip(orders, shares, strict=True)])
    outcomes = sum((Counter(one["outcomes"]) for one in told), Counter())
    seconds = max(one["ended"] for one in told) - min(one["started"] for one in told)
    return {
        "messages": sum(outcomes.values()),
        "outcomes": dict(outcomes),
        "seconds": seconds,
        "cpu_us": sum(one["cpu_seconds"] for one in told) / order.messages * 1e6,
        "peak_rss_mib": _peak_mib(resource.RUSAGE_CHILDREN),
    }


def claim(order: Order) -> Figures:
    """Claim all that is released, `at_once` in a call and nothing sent meanwhile, until nothing is left or `most_seconds` are over.
    `first_ms` and `last_ms` are medians of the first and the last tenth of the calls: whether a call grows with what is claimed."""
    context = multiprocessing.get_context("spawn")
    told = _in_processes(context, _claim, [(order, f"bench-{number}") for number in range(order.workers)])
    return {
        "messages": sum(one["claimed"] for one in told),
        "seconds": max(one["ended"] for one in told) - min(one["started"] for one in told),
        "first_ms": statistics.median(one["first_ms"] for one in told),
        "last_ms": statistics.median(one["last_ms"] for one in told),
        "peak_rss_mib": _peak_mib(resource.RUSAGE_CHILDREN),
    }


def shares(order: Order) -> Figures:
    """`deliver` with a stopwatch in each worker: µs per message of each call to ledger, builder and channel, waiting included.

    `ledger_share` is the ledger's part of the workers' time, looks at the switches included.
    """
    context = multiprocessing.get_context("spawn")
    told = _in_processes(context, _watched_worker, [(order,)] * order.workers)
    outcomes = sum((Counter(one["outcomes"]) for one in told), Counter())
    spent = sum((Counter(one["spent"]) for one in told), Counter())
    loop = sum(one["loop_seconds"] for one in told)
    handled = sum(outcomes.values())
    ledger = sum(seconds for name, seconds in spent.items() if name not in ("mail", "send"))
    parts = {name: seconds / handled * 1e6 for name, seconds in sorted(spent.items())}
    return {
        "messages": handled,
        "outcomes": dict(outcomes),
        "seconds": max(one["loop_seconds"] for one in told),
        "ledger_share": ledger / loop,
        "parts_us": parts | {"rest": (loop - sum(spent.values())) / handled * 1e6},
    }


def _settings(order: Order) -> Any:
    """Of a home with its defaults, where the invented people may be mailed. In production a mail from a reserved domain is refused.
    No `delivery.yml`: nothing is throttled."""
    from bench import mails
    from dagster_project.settings import Settings

    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        home=Path(order.home),
        project=Path(order.home),
        allow_list=",".join(f"@{domain}" for domain in mails.CUSTOMER_DOMAINS),
        channel="smtp",
        smtp_url=order.smtp_url,  # type: ignore[arg-type]
        dkim_keys=order.keys,
        sender=mails.SENDER,
        ledger_url=order.ledger,
    )


def _transport(order: Order, count: int, barrier: Any) -> Figures:
    from bench import mails
    from dagster_project.home import Home

    built = mails.prebuilt(min(DIFFERENT_MAILS, count))
    outcomes: Counter[str] = Counter()
    with Home(_settings(order)).channel(mails.AS_OF) as channel:
        barrier.wait()
        started, used = time.monotonic(), time.process_time()
        for _, receipt in channel.transmit(built[number % len(built)] for number in range(count)):
            outcomes[receipt.outcome] += 1
        ended, used = time.monotonic(), time.process_time() - used
    return {"outcomes": dict(outcomes), "started": started, "ended": ended, "cpu_seconds": used}


def _claim(order: Order, worker: str) -> Figures:
    from bench import mails
    from dagster_project.home import Home

    home = Home(_settings(order))
    claimed, calls = 0, []
    with home.ledger() as ledger:
        started = time.monotonic()
        while time.monotonic() - started < order.most_seconds:
            asked = time.perf_counter()
            found = ledger.claim(worker, order.at_once, LEASE_SECONDS, mails.PACK, home.way)
            calls.append((time.perf_counter() - asked) * 1e3)
            if not found:
                break
            claimed += len(found)
        ended = time.monotonic()
    tenth = max(1, len(calls) // 10)
    whole = calls[:-1] or calls  # the last call finds nothing
    return {
        "claimed": claimed,
        "started": started,
        "ended": ended,
        "first_ms": statistics.median(whole[:tenth]),
        "last_ms": statistics.median(whole[-tenth:]),
    }


def _watched_worker(order: Order) -> Figures:
    from bench import mails
    from bench.watched import WatchedHome
    from dagster_project.workers import Job, _work

    home = WatchedHome(_settings(order))
    counts = _work(Job(home.settings, mails.AS_OF, mails.PACK), home, lambda _: None, lambda: False)
    return {"outcomes": dict(counts.outcomes), "loop_seconds": counts.seconds, "spent": home.stopwatch.seconds}


# --- the others -------------------------------------------------------------------------------------------------------


def naive(order: Order) -> Figures:
    """The script of `naive.py` in one process; `keys` is the path of its DKIM key, or nothing."""
    from bench import naive as script

    folder = Path(order.home)
    script.write_inputs(folder, order.messages)
    return script.run(folder, order.port, Path(order.keys) if order.keys else None)


def aiosmtplib(order: Order) -> Figures:
    """The asynchronous client most people would take: as many connections as we have workers, mails built before the clock
    runs, neither signature nor ledger."""
    from bench import mails

    built = mails.prebuilt(min(DIFFERENT_MAILS, order.messages))
    outcomes: Counter[str] = Counter()
    started = time.perf_counter()
    asyncio.run(_send_all(order, built, outcomes))
    return {
        "messages": sum(outcomes.values()),
        "outcomes": dict(outcomes),
        "seconds": time.perf_counter() - started,
        "peak_rss_mib": _peak_mib(resource.RUSAGE_SELF),
    }


async def _send_all(order: Order, built: list[Any], outcomes: Counter[str]) -> None:
    import aiosmtplib as library  # type: ignore[import-not-found]

    tls = ssl.create_default_context(cafile=order.trust or None)
    waiting: Iterator[int] = iter(range(order.messages))

    async def one_connection() -> None:
        client = library.SMTP(
            hostname="127.0.0.1",
            port=order.port,
            local_hostname="peer.example",
            start_tls=bool(order.trust),
            tls_context=tls,
        )
        async with client:
            for number in waiting:
                mail = built[number % len(built)]
                try:
                    await client.sendmail(mail.mail_from, [mail.rcpt_to], mail.raw)
                    outcomes["sent"] += 1
                except (library.SMTPResponseException, library.SMTPRecipientsRefused):
                    outcomes["deferred"] += 1

    await asyncio.gather(*(one_connection() for _ in range(order.workers)))


def micro(order: Order) -> Figures:
    """What one mail costs, step by step, in one process: see `micro.py`."""
    from bench import micro as steps

    return steps.measure(Path(order.home))


CASES: dict[str, Callable[[Order], Figures]] = {
    "prepare": prepare,
    "claim": claim,
    "deliver": deliver,
    "transport": transport,
    "shares": shares,
    "naive": naive,
    "aiosmtplib": aiosmtplib,
    "micro": micro,
}


def in_a_process(kind: str, order: Any, *wrapped_in: str, module: str = "bench.cases") -> dict[str, Any]:
    """Run a case by itself, started by the given command if there is one. RuntimeError with its last words when it failed."""
    done = subprocess.run(
        [*wrapped_in, sys.executable, "-m", module, kind],
        input=json.dumps(dataclasses.asdict(order)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise RuntimeError(f"{kind}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# --- processes --------------------------------------------------------------------------------------------------------


def _in_processes(context: Any, work: Callable[..., Figures], arguments: list[tuple[Any, ...]]) -> list[Figures]:
    """What each process told, in order. RuntimeError when one ended without a word; what it wrote is on standard error."""
    running = []
    for one in arguments:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_tell, args=(theirs, work, one))
        process.start()
        theirs.close()
        running.append((process, ours))
    told = []
    for process, ours in running:
        try:
            told.append(ours.recv())
        except EOFError:
            raise RuntimeError(f"a process of {work.__name__} ended early") from None
        finally:
            process.join()
    return told


def _tell(end: multiprocessing.connection.Connection, work: Callable[..., Figures], arguments: tuple[Any, ...]) -> None:
    end.send(work(*arguments))


def _peak_mib(who: int) -> float:
    """The most memory this process, or the largest of its children, ever held, in MiB. A child's figure is never below that of its
    parent at the moment of its start: the parent of workers is kept small."""
    return resource.getrusage(who).ru_maxrss / 1024


class Trusting:
    """Inside it, workers that are started trust this certificate besides nobody else."""

    def __init__(self, certificate: str) -> None:
        self._certificate = certificate

    def __enter__(self) -> Self:
        self._before = os.environ.get("SSL_CERT_FILE")
        if self._certificate:
            os.environ["SSL_CERT_FILE"] = self._certificate
        return self

    def __exit__(self, *_: object) -> None:
        if self._certificate:
            os.environ.pop("SSL_CERT_FILE")
        if self._before is not None:
            os.environ["SSL_CERT_FILE"] = self._before


def main() -> None:
    given = json.load(sys.stdin)
    order = Order(**given | {"ports": tuple(given["ports"])})
    with Trusting(order.trust):
        figures = CASES[sys.argv[1]](order)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
