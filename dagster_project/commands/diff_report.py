"""How a comparison of two revisions looks: on a terminal, and as Markdown on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape

from dagster_project.adapters.revisions import short
from dagster_project.commands.evals_report import difference_lines
from dagster_project.commands.report import flow, moment_of, out, show_lines_of_diff

_FEW = 5  # people named of a change
_MOST_FILES = 10
_SIDES = (("entered", "did not meet before"), ("left", "no longer meet"))


def show_diff(answer: Mapping[str, Any]) -> None:
    """One block per campaign: those whose own files changed first, then those that it reaches."""
    base = answer["base"]
    out.print(
        f"[bold]{escape(base['revision'])}[/] ({short(base['commit'])}) → working tree, as of {moment_of(answer['as_of'])} UTC",
        soft_wrap=True,
    )
    for file in _files(answer["changed_files"]):
        out.print(f"  {escape(file)}", soft_wrap=True)
    for one in answer["campaigns"]:
        out.print(f"\n[bold]{one['campaign_id']}[/]: {_audience(one)}", soft_wrap=True)
        if not one["changes"]:
            out.print("  nothing of its own changed", soft_wrap=True)
        for change in one["changes"]:
            out.print(f"  {escape(change['part'])}", soft_wrap=True)
            show_lines_of_diff(change["diff"], indent=4)
        for line in _told(one):
            flow("", [escape(line)], indent=2)
        for mail in one["mails"]:
            out.print(f"  mail to {escape(mail['user_id'])}{_when(mail)}", soft_wrap=True)
            show_lines_of_diff(mail["diff"], indent=4)
    if answer["prompts"]:
        _show_prompts(answer["prompts"])
    if not answer["campaigns"]:
        out.print("\nnothing is decided differently, and no mail reads differently")
    out.print(f"\n{answer['seconds']:.1f} s")


def _show_prompts(prompts: Mapping[str, Any]) -> None:
    for change in prompts["files"]:
        out.print(f"\n[bold]{escape(change['file'])}[/]", soft_wrap=True)
        show_lines_of_diff(change["diff"], indent=2)
    for line in _evals(prompts["evals"]):
        out.print(f"  {escape(line)}", soft_wrap=True)


def markdown(answer: Mapping[str, Any]) -> str:
    """The comparison as GitHub shows it: a table, then a fold per campaign."""
    base, campaigns = answer["base"], answer["campaigns"]
    files = ", ".join(f"`{file}`" for file in _files(answer["changed_files"]))
    lines = [
        f"### Decisions: `{base['revision']}` ({short(base['commit'])}) → this change",
        "",
        f"As of {moment_of(answer['as_of'])} UTC, source `{answer['source_pack']}`. Changed: {files or 'no file'}.",
        "",
    ]
    told = _markdown_of_prompts(answer["prompts"]) if answer["prompts"] else []
    if not campaigns:
        return "\n".join([*lines, "Nothing is decided differently, and no mail reads differently.", *told])
    lines += [
        "| campaign | people | sends | entered | left | other verdict | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for one in campaigns:
        note = "" if one["changes"] else "nothing of its own changed"
        note = f"**over {answer['fail_over']}** {note}".strip() if one["campaign_id"] in answer["over"] else note
        verdicts = len({person for change in one["verdicts"] for person in change["people"]})
        cells = [
            one["campaign_id"],
            *(f"{one['base'][what]:,} → {one['head'][what]:,}" for what in ("people", "sends")),
            *(f"{len(one[what]['people']):,}" for what in ("entered", "left")),
            f"{verdicts:,}",
            note,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for one in campaigns:
        lines += ["", f"<details><summary>{one['campaign_id']}</summary>", ""]
        for change in one["changes"]:
            lines += [f"`{change['part']}`", *_fenced(change["diff"]), ""]
        lines += [f"- {_safe(line)}" for line in _told(one)]
        for mail in one["mails"]:
            lines += ["", f"Mail to `{mail['user_id']}`{_when(mail)}", *_fenced(mail["diff"])]
        lines += ["", "</details>"]
    return "\n".join([*lines, *told])


def _markdown_of_prompts(prompts: Mapping[str, Any]) -> list[str]:
    lines = ["", "<details><summary>prompts</summary>", ""]
    for change in prompts["files"]:
        lines += [f"`{change['file']}`", *_fenced(change["diff"]), ""]
    lines += [f"- {_safe(line)}" for line in _evals(prompts["evals"])]
    return [*lines, "", "</details>"]


def _evals(evals: Mapping[str, Any]) -> list[str]:
    """What the recordings of both sides say, a line each."""
    lines = []
    for side, name in (("base", "base"), ("head", "this change")):
        if (found := evals[side]) is None:
            lines.append(f"evals of {name}: not recorded")
            continue
        figures = [f"{measure} {value:g}" for measure, value in found["measures"].items() if value is not None]
        lines.append(f"evals of {name}: {', '.join(figures)}")
    return lines + (difference_lines(evals["difference"]) if evals["difference"] else [])


def _files(files: Sequence[str]) -> list[str]:
    more = len(files) - _MOST_FILES
    return [*files[:_MOST_FILES], *([f"and {more} more"] if more > 0 else [])]


def _audience(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{one['base'][what]:,} → {one['head'][what]:,} {what}" for what in ("people", "sends"))


def _told(one: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing that is different, in the order of its weight."""
    for side, words in _SIDES:
        found = one[side]
        if not found["people"]:
            continue
        verdicts = ", ".join(f"{verdict} {count:,}" for verdict, count in found["verdicts"].items())
        yield f"{side} {len(found['people']):,}: {verdicts}; {_few(found['people'])}"
        for condition in found["conditions"]:
            yield f"  {condition['people']:,} {words} {condition['condition']}{_changed_sql(condition)}"
        if found["not_considered"]:
            where = "the base" if side == "entered" else "this change"
            yield f"  {found['not_considered']:,} its trigger has no row for in {where}"
        for example in found["examples"]:
            reads = [f"{read['name']} = {read['value']}" for failed in example["failed"] for read in failed["reads"]]
            if reads:
                yield f"  {example['user_id']}: {', '.join(dict.fromkeys(reads))}"
    for change in one["verdicts"]:
        yield (
            f"{change['from']} → {change['to']} {len(change['people']):,}"
            f"{_winners('loses to', change['loses_to_now'])}{_winners('had lost to', change['lost_to_before'])};"
            f" {_few(change['people'])}"
        )
    for column, people in one["other"].items():
        yield f"same verdict, another {column}: {people:,}"


def _changed_sql(condition: Mapping[str, Any]) -> str:
    base, head = condition["base"], condition["head"]
    if base == head:
        return f" ({base})" if base else ""
    return f" (was: {base or 'not there'}; is: {head or 'not there'})"


def _winners(words: str, campaigns: Mapping[str, int]) -> str:
    return f", {words} {', '.join(f'{name} {count:,}' for name, count in campaigns.items())}" if campaigns else ""


def _few(people: Sequence[str]) -> str:
    return ", ".join(people[:_FEW]) + (", …" if len(people) > _FEW else "")


def _when(mail: Mapping[str, Any]) -> str:
    if mail["before"] is None:
        return ", who has entered"
    return ", who has left" if mail["after"] is None else ""


def _fenced(lines: Sequence[str]) -> list[str]:
    """A fence longer than any in the text."""
    fence = "````" if any("```" in line for line in lines) else "```"
    return ["", f"{fence}diff", *lines, fence]


def _safe(text: str) -> str:
    """Words of SQL and of facts that are no Markdown."""
    for character in "\\`*_<>|":
        text = text.replace(character, f"\\{character}")
    return text
