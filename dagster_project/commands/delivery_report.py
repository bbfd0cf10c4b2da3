"""How `deliver` and `reconcile` look on a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from dagster_project.adapters.delivering import Counts
from dagster_project.commands.report import err, flow, out
from dagster_project.home import Home
from dagster_project.ledger.unknowns import Settlement

ENDS = {
    "nothing_due": "nothing more is due",
    "throttled": "the limits in delivery.yml keep the rest for later",
    "killed": "[red]stopped by the kill switch[/]: postrider resume lifts it",
    "channel_down": "[red]the way out is down[/]: what was not sent is tried again",
    "SIGINT": "stopped by Ctrl-C; the rest was given back",
    "SIGTERM": "stopped; the rest was given back",
}


@contextlib.contextmanager
def rate(home: Home, *, quiet: bool) -> Iterator[Callable[[Counts], None]]:
    """A listener that shows how many of what waits have an outcome, how fast, and which; silent when a machine reads."""
    if quiet:
        yield lambda _: None
        return
    with home.ledger() as ledger:
        total = len(ledger.messages(states=["approved", "deferred"], source_pack=home.pack.name))
    columns = (BarColumn(30), TextColumn("{task.completed:,} of {task.total:,}"), TextColumn("{task.description}"))
    with Progress(*columns, console=err, transient=True) as bar:
        task, started = bar.add_task("starting", total=total), time.monotonic()

        def listener(counts: Counts) -> None:
            done = sum(counts.outcomes.values())
            words = "  ".join(f"{word} {number:,}" for word, number in _all(counts.as_dict()).items())
            speed = done / max(time.monotonic() - started, 0.001)
            bar.update(task, completed=done, total=max(total, done), description=f"{speed:,.0f}/s  {words}")

        yield listener


def _all(told: Mapping[str, Any]) -> dict[str, int]:
    """Every count that isn't zero, by its word."""
    outcomes = {word: told[word] for word in ("sent", "deferred", "rejected", "unknown", "not_sent")}
    return {word: number for word, number in {**outcomes, **told["stopped"], **told["unbuildable"]}.items() if number}


# Why the other side cannot be asked by key, in words
OBSTACLES = {
    "transport_unknown": "nobody knows by which transport it went",
    "no_key": "its transport takes no keys",
    "other_transport": "it went by another transport than the settings name now",
    "key_expired": "the provider may have forgotten its key",
    "being_repeated": "it is being repeated at this moment",
    "suppressed": "the person was suppressed since, and a repeat might be the first delivery",
    "expired": "it is too late for a first delivery, which a repeat might be",
    "killed": "sending is stopped: postrider resume lifts it",
    "paused": "its campaign is paused",
    "not_released": "it has no release any more",
    "release_expired": "its release has expired, and a repeat might be the first delivery",
    "draft_changed": "its draft has changed",
    "erased": "the person was erased",
    "settled": "it was settled at this moment",
}


def show_delivery(told: Mapping[str, Any]) -> None:
    """What came of it, and what to do about what did not."""
    words = _all(told)
    flow("[bold]deliveries[/]", [f"{escape(word)} {number:,}" for word, number in words.items()] or ["none"])
    out.print(
        f"{told['seconds']:.1f} s, {told['per_second']:,.0f} a second; {ENDS.get(told['ended_by'], told['ended_by'])}"
    )
    if by_key := {word: number for word, number in told["by_key"].items() if word != "unknown"}:
        flow("settled by key", [f"{word} {number:,}" for word, number in by_key.items()])
    if told["waiting"]["messages"]:
        out.print(f"waiting  {told['waiting']['messages']:,}, the first until {told['waiting']['due_at']}")
    if told["in_doubt"]:
        flow("next", [f"[bold]postrider reconcile[/]  ({told['in_doubt']:,} in doubt)"])


def show_doubt(told: Mapping[str, Any]) -> None:
    """Each message in doubt with what helps to look elsewhere, and how to say what was found."""
    for who, number in told["settled"].items():
        out.print(f"settled  {number:,} {who.replace('_', ' ')}")
    if not told["in_doubt"]:
        out.print("no message is in doubt")
        return
    for one in told["in_doubt"]:
        who, why = one["recipient"] or "(erased)", one["detail"] or one["reason"]
        lines = [
            f"\n[bold]{escape(one['message_id'])}[/]  {escape(one['campaign_id'])} to {escape(who)}",
            f"  attempt {one['attempt']} at {one['started_at']} by {escape(one['worker'])}: {escape(why)}",
            f"  look for {escape(one['header_message_id'] or 'the recipient')} in the server's log",
            f"  by key: {_by_key(one['by_key'])}",
        ]
        for line in lines:
            out.print(line, soft_wrap=True)
    words = "|".join(get_args(Settlement))
    if any(one["by_key"]["obstacle"] is None for one in told["in_doubt"]):
        out.print(
            "\nask the provider with  [bold]postrider reconcile --by-key[/]; it sends nothing twice", soft_wrap=True
        )
    out.print(
        f"\nsettle with  [bold]postrider reconcile <message_id> --as {words} --by <you> --evidence <how>[/]",
        soft_wrap=True,
    )


def _by_key(told: Mapping[str, Any]) -> str:
    obstacle = told["obstacle"]
    return f"can be asked until {told['until']}" if obstacle is None else f"no, {OBSTACLES.get(obstacle, obstacle)}"
