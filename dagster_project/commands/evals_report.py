"""How evals look on a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.markup import escape

from dagster_project.commands.report import SHORT, flow, out, table
from dagster_project.lifecycle.roles.reviewer import RUBRICS


def show_evals(answer: Mapping[str, Any]) -> None:
    """One row per campaign, variant and mode over its languages (each by itself is in `--json`), what was turned down and why, cost by
    role, and the difference."""
    out.print(f"models {', '.join(answer['models'])}; answered by {escape(answer['answered_by'])}", soft_wrap=True)
    out.print("prompts " + "   ".join(f"{role} {digest[:SHORT]}" for role, digest in answer["prompts"].items()))
    made = table("", "campaign", "mode", "by model#", "scores", "rejected#")
    for (campaign, mode), rows in _by_campaign(answer["cases"]).items():
        made.add_row(
            campaign, mode, f"{sum(row['by_model'] for row in rows)} of {sum(row['contexts'] for row in rows)}",
            " ".join(_mean(row["scores"][rubric] for row in rows) for rubric in RUBRICS),
            f"{sum(sum(row['rejections'].values()) for row in rows)}",
        )  # fmt: skip
    out.print(made)
    out.print(f"scores: {', '.join(RUBRICS)}; of every text that was read, the mean of the languages")
    total = answer["all"]
    for label in ("rejections", "fallbacks", "to_person", "not_drafted"):
        if total[label]:
            flow(label.replace("_", " "), [f"{escape(word)} {count:,}" for word, count in total[label].items()])
    spent = table("", "role", "calls#", "tokens in#", "tokens out#", "dollars#", "seconds each#")
    for role, one in total["roles"].items():
        spent.add_row(
            role, f"{one['calls']:,}", _count(one["tokens_in"]), _count(one["tokens_out"]),
            "?" if one["dollars"] is None else f"{one['dollars']:.4f}", _number(one["seconds_per_call"]),
        )  # fmt: skip
    out.print(spent)
    show_difference(answer["difference"])
    for line in answer["failed"]:
        out.print(f"[red]✗[/] {escape(line)}")


def show_difference(difference: Mapping[str, Any] | None) -> None:
    """What differs from the base, in all and by row."""
    for line in difference_lines(difference):
        out.print(escape(line), soft_wrap=True)


def difference_lines(difference: Mapping[str, Any] | None) -> list[str]:
    """The same as lines of text."""
    if difference is None:
        return ["no earlier report to compare with"]
    lines = [f"{name} differ from the base's" for name in difference["inputs"]]
    if not difference["is_comparable"]:
        lines.append("the contexts are another set: figures of the two are not comparable")
    lines += [f"only in the base: {name}" for name in difference["only_in_base"]]
    lines += [f"new: {name}" for name in difference["only_in_head"]]
    lines += [f"all: {change}" for change in _changes(difference["all"])]
    for one in difference["cases"]:
        lines += [f"{_campaign(one)} {one['mode']} {one['locale']}: {change}" for change in _changes(one)]
    return lines or ["nothing differs from the base"]


def _campaign(row: Mapping[str, Any]) -> str:
    return row["campaign_id"] if row["variant"] == "default" else f"{row['campaign_id']}/{row['variant']}"


def _changes(found: Mapping[str, Any]) -> list[str]:
    return [
        f"{name if what == 'measures' else f'{what} {name}'} {_number(pair[0])} → {_number(pair[1])}"
        for what in ("measures", "rejections", "fallbacks", "to_person")
        for name, pair in found.get(what, {}).items()
    ]


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _by_campaign(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """(campaign and variant, mode) -> its rows, one per language."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((_campaign(row), row["mode"]), []).append(row)
    return found


def _mean(scores: Iterable[float | None]) -> str:
    """Of 5, to a tenth: contexts are few."""
    known = [score for score in scores if score is not None]
    return f"{statistics.fmean(known):.1f}" if known else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".")
