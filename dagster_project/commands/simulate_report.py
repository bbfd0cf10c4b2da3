"""How a simulation looks on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape

from dagster_project.commands.report import VERDICTS, err, flow, out, table

MOST_ROWS = 12  # of a list whose end says little; --json has all of it


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[int, int, datetime], None]]:
    """A listener that shows which day is at hand; silent when a machine reads, or when nobody looks."""
    if quiet or not err.is_terminal:
        yield lambda *_: None
        return
    with err.status("reading the data and compiling the models") as status:
        yield lambda done, count, as_of: status.update(f"{as_of:%Y-%m-%d %H:%M}   tick {done + 1} of {count}")


def show_simulation(answer: Mapping[str, Any]) -> None:
    """Each policy's tables, and with two of them what differs."""
    word = "approved at once" if answer["review"] == "approve" else "left waiting"
    out.print(f"\n[bold]simulated {answer['from']} to {answer['to']}[/]")
    flow("", [f"{answer['ticks']} ticks", "nothing was sent", f"drafts that need a person: {word}"])
    for policy in answer["policies"]:
        if answer["differences"]:
            out.print(f"\n[bold]policy: {escape(policy['name'])}[/]")
        _show_policy(policy)
    if answer["differences"]:
        _show_differences(answer["policies"], answer["differences"])
    out.print(f"\n{answer['seconds']:.1f} s in all, {answer['seconds_per_tick']:.2f} s per tick")


def first_broken(answer: Mapping[str, Any]) -> str:
    """The first invariant that did not hold, and when."""
    first = next(entry for policy in answer["policies"] for entry in policy["broken"])
    return f"{first['invariant']} at {first['as_of']} ({first['rows']} rows)"


def _show_policy(policy: Mapping[str, Any]) -> None:
    rows = table("verdicts, all ticks added up", "campaign", "people#", *(f"{word}#" for word in VERDICTS))
    for name, campaign in policy["campaigns"].items():
        rows.add_row(name, f"{campaign['people']:,}", *(_number(campaign["verdicts"].get(word)) for word in VERDICTS))
    out.print()
    out.print(rows)
    out.print(f"{policy['sends']:,} messages to {policy['people']:,} people")
    days = table("days", "day", "candidates#", "sends#", "held by caps#", "lost to another#")
    for day in policy["days"]:
        days.add_row(
            str(day["day"]),
            f"{day['candidates']:,}",
            _number(day["sends"]),
            _number(day["bound"]),
            _number(day["lost"]),
        )
    out.print()
    out.print(days)
    _show_list(
        "caps that bind: nothing else holds these back",
        ("campaign", "reason", "times#", "messages#", "people#", "never sent#"),
        policy["caps"],
        ("campaign_id", "reason", "times", "messages", "people", "never_sent"),
    )
    _show_list(
        "campaigns that collide",
        ("campaign", "loses to", "times#", "messages#", "people#", "never sent#"),
        policy["collisions"],
        ("campaign_id", "winner_campaign_id", "times", "messages", "people", "never_sent"),
    )
    over = [row for row in policy["limits"] if row["is_over"]]
    if not policy["limits"]:
        out.print("\nlimits   delivery.yml has none that these mails would count against")
    else:
        out.print(f"\nlimits   {len(over)} of {len(policy['limits'])} days and limits are passed")
        _show_list(
            "limits passed",
            ("day", "scope", "limit", "sends#", "most a day#", "hours#"),
            over,
            ("day", "scope", "limit", "sends", "most_a_day", "hours"),
        )
    model = policy["model"]
    cost = "" if model["dollars"] is None else f"   ${model['dollars']:,.2f}"
    told = "" if model["is_set"] else "   none is set: templates would go out"
    out.print(
        f"model    {model['model']}: {model['calls']:,} calls   about {model['tokens_in']:,} tokens in,"
        f" at most {model['tokens_out']:,} out{cost}{told}",
        soft_wrap=True,
    )
    for entry in policy["gate"][:MOST_ROWS]:
        mark = "[red]stopped[/]" if entry["severity"] == "critical" else "[yellow]review[/]"
        out.print(
            f"{mark} {entry['as_of']:%Y-%m-%d %H:%M} {', '.join(entry['campaigns'])}: {entry['sentence']}",
            soft_wrap=True,
        )
    if len(policy["gate"]) > MOST_ROWS:
        out.print(f"… {len(policy['gate']) - MOST_ROWS} more words of the audience gate in --json")
    for entry in policy["broken"]:
        out.print(
            f"[red]✗[/] {entry['as_of']:%Y-%m-%d %H:%M} {entry['invariant']}: {entry['rows']} rows", soft_wrap=True
        )


def _show_differences(policies: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]) -> None:
    first, second = (escape(policy["name"]) for policy in policies)
    rows = table(
        "side by side", "campaign", f"{first}#", f"{second}#", "change#", "held by caps#", "→#", "entered#", "left#"
    )
    for entry in differences:
        before, after = entry["sends"]
        rows.add_row(
            entry["campaign_id"], f"{before:,}", f"{after:,}", f"{after - before:+,}" if after != before else "",
            *map(_number, entry["bound"]), _number(len(entry["entered"])), _number(len(entry["left"])),
        )  # fmt: skip
    out.print()
    out.print(rows)
    flow(
        "",
        (
            f"{escape(policy['name'])}: {policy['sends']:,} messages to {policy['people']:,} people"
            for policy in policies
        ),
    )


def _show_list(title: str, headings: Sequence[str], rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    if not rows:
        return
    shown = table(title, *headings)
    for row in rows[:MOST_ROWS]:
        shown.add_row(*(_number(row[key]) if isinstance(row[key], int) else escape(str(row[key])) for key in keys))
    out.print()
    out.print(shown)
    if len(rows) > MOST_ROWS:
        out.print(f"… {len(rows) - MOST_ROWS} more in --json")


def _number(value: int | None) -> str:
    return f"{value:,}" if value else ""
