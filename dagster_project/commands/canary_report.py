"""How a canary looks on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from dagster_project.commands.report import SHORT, out, table
from dagster_project.lifecycle.prompt_canary import CANARY, STANDING


def show_canary(answer: Mapping[str, Any]) -> None:
    """A row per measure: both arms, what lies between them, and how many more draws each needs."""
    tries = [f"{role}: {file}" for role, file in answer["prompts"].items()] + [f"models: {', '.join(answer['models'])}"]
    out.print(
        f"[bold]{answer['name']}[/] {answer['version'][:SHORT]}, {answer['share']:.0%} of the patterns; {escape('; '.join(tries))}",
        soft_wrap=True,
    )
    if answer["stopped"]:
        out.print(f"[red]{escape(answer['stopped'])}[/]: every pattern is written by the standing prompts and models")
    counts = [
        f"{arm} {answer['patterns'][arm]:,} patterns, {answer['messages'][arm]:,} messages"
        for arm in (CANARY, STANDING)
    ]
    out.print(f"{'; '.join(counts)}; put back {answer['put_back']:,}")
    made = table("", "measure", "canary#", "standing#", "difference#", "more needed#")
    for name, one in answer["measures"].items():
        made.add_row(
            name, _rate(one[CANARY]), _rate(one[STANDING]), _difference(one["difference"]),
            f"{one['more_needed'][CANARY]:,} and {one['more_needed'][STANDING]:,}",
        )  # fmt: skip
    out.print(made)
    out.print(
        f"intervals of 95 %; more needed to find a difference of {answer['least_difference']:.0%} four times of five. "
        "Clicks are not recorded yet."
    )


def _rate(rate: Mapping[str, Any]) -> str:
    return "-" if rate["share"] is None else f"{rate['part']:,} of {rate['whole']:,} ({_span(rate['interval'])})"


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    text = f"{found['share']:+.1%} ({_span(found['interval'])})"
    return f"[bold]{text}[/]" if found["is_known"] else text


def _span(interval: list[float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
