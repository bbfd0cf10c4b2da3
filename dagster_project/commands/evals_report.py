"""How evals look on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from dagster_project.commands.report import SHORT, flow, out, table
from dagster_project.lifecycle.roles.reviewer import RUBRICS


def show_evals(answer: Mapping[str, Any]) -> None:
    """One row per campaign and mode over its locales' rows, what was turned down and why, cost by role, and the difference."""
    out.print(f"models {', '.join(answer['models'])}; answered by {escape(answer['answered_by'])}", soft_wrap=True)
    out.print("prompts " + "   ".join(f"{role} {digest[:SHORT]}" for role, digest in answer["prompts"].items()))
    made = table("", "campaign", "mode", "locale", "by model#", "scores", "rejected#", "repaired#")
    for row in answer["cases"]:
        made.add_row(
            row["campaign_id"], row["mode"], row["locale"], f"{row['by_model']} of {row['contexts']}",
            " ".join(_number(row["scores"][rubric]) for rubric in RUBRICS),
            f"{sum(row['rejections'].values())}", f"{row['repairs']}",
        )  # fmt: skip
    out.print(made)
    out.print(f"scores: {', '.join(RUBRICS)}; of every text that was read")
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
        lines += [f"{one['campaign_id']} {one['mode']} {one['locale']}: {change}" for change in _changes(one)]
    return lines or ["nothing differs from the base"]


def _changes(found: Mapping[str, Any]) -> list[str]:
    return [
        f"{name if what == 'measures' else f'{what} {name}'} {_number(pair[0])} → {_number(pair[1])}"
        for what in ("measures", "rejections", "fallbacks", "to_person")
        for name, pair in found.get(what, {}).items()
    ]


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".")
