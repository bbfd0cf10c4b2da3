"""How answers look on a terminal: readable at 80 columns, and no word cut in the middle."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

VERDICTS = ("send", "hold", "suppress", "holdout", "lose")
SHORT = 12  # characters of a hash or id that a person compares
WIDE = 110  # columns from which a table shows what can be left out


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str, str, float], None]]:
    """A listener that shows each stage as it starts and ends; silent when a machine reads."""
    if quiet:
        yield lambda *_: None
        return
    with err.status("starting") as status:

        def listener(stage: str, what: str, seconds: float) -> None:
            if what == "started":
                status.update(stage)
            else:
                mark = "[green]✓[/]" if what == "done" else "[red]✗[/]"
                err.print(f" {mark} {stage:<9} {seconds:6.2f} s")

        yield listener


def table(title: str, *columns: str) -> Table:
    """A plain table; columns that end in `#` are numbers, those that end in `~` may wrap, all others never do."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(
            column.rstrip("#~"),
            justify="right" if column.endswith("#") else "left",
            header_style="dim",
            no_wrap=not column.endswith("~"),
            overflow="fold" if column.endswith("~") else "ellipsis",
        )
    return made


def flow(label: str, items: Iterable[str], indent: int = 0, gap: int = 3) -> None:
    """A label and then items side by side, as many as fit into a line; an item is broken only where it alone is too long."""
    margin = indent + (cell_len(Text.from_markup(label).plain) + 2 if label else 0)
    lines, used = [" " * indent + (f"{label}  " if label else "")], margin
    for item in items:
        width = cell_len(Text.from_markup(item).plain)
        if used > margin and used + gap + width > out.width:
            lines.append(" " * margin)
            used = margin
        lines[-1] += (" " * gap if used > margin else "") + item
        used += (gap if used > margin else 0) + width
    for line in lines:
        out.print(line, soft_wrap=True)


def show_run(run: Mapping[str, Any]) -> None:
    """The table at the end of a tick, and where to look next."""
    out.print(f"\n[bold]tick as of {run['as_of']}[/]  run {run['run_id']}\n")
    if run["is_unchanged"]:
        out.print(
            "nothing new: the same source, project, settings, ledger and time as in that run. No stage could find anything else,"
            " so none was run, and nothing was sent.\n",
            soft_wrap=True,
        )
    _show_stages(run)
    if run["campaigns"]:
        words = [word for word in VERDICTS if word in run["verdicts"]]
        out.print()
        verdicts = table("verdicts by campaign", "campaign", "candidates#", *(f"{word}#" for word in words))
        for name, counts in run["campaigns"].items():
            verdicts.add_row(name, f"{sum(counts.values()):,}", *(_number(counts.get(word)) for word in words))
        total = f"{sum(run['verdicts'].values()):,}"
        verdicts.add_row("[bold]all[/]", total, *(_number(run["verdicts"].get(word)) for word in words))
        out.print(verdicts)
        out.print()
    _show_cap_prices(run["cap_prices"])
    for label, key in (
        ("reasons", "reasons"),
        ("drafts by mode", "drafts"),
        ("fallbacks", "fallbacks"),
        ("knowledge found by", "knowledge"),
        ("deliveries by state", "deliveries"),
    ):
        if run[key]:
            flow(f"[bold]{label}[/]", (f"{word} {count:,}" for word, count in run[key].items()))
    if run["model"]["calls"]:
        model = run["model"]
        cost = "price unknown" if model["dollars"] is None else f"${model['dollars']:,.4f} at list price"
        flow("[bold]language model[/]", [f"{model['calls']:,} calls", f"{model['tokens']:,} tokens", cost])
    for gate in run["gates"]:
        for line in gate["failed"] + gate["warnings"]:
            _show_sentence(gate["stage"], line, "[red]failed[/]" if line in gate["failed"] else "[yellow]warning[/]")
    out.print(f"\n{run['seconds']:.1f} s in all")
    flow("next", ["[bold]postrider explain --user <id>[/]", "[bold]postrider review list[/]", "[bold]make ui[/]"])


def show_plan(answer: Mapping[str, Any]) -> None:
    """Patterns and calls by campaign, and what they would take."""
    made = table(f"calls of {answer['model']}", "campaign", "messages#", "patterns#", "known#", "calls#")
    for name, counts in answer["campaigns"].items():
        made.add_row(name, *(f"{counts[key]:,}" for key in ("messages", "patterns", "known", "calls")))
    out.print(made)
    cost = "price unknown" if answer["dollars"] is None else f"${answer['dollars']:,.4f} at list price"
    tokens = f"about {answer['tokens_in']:,} tokens in, at most {answer['tokens_out']:,} out"
    flow("\n[bold]in all[/]", [f"{answer['calls']:,} calls", tokens, cost])
    for name, counts in answer["campaigns"].items():
        if counts["budget"] and (limit := counts["budget"]["calls"]) is not None and counts["calls"] > limit:
            out.print(f"model_budget of {name} is {limit:,} calls: the rest goes out in the template's words")
    if answer["most_calls"] is not None and answer["calls"] > answer["most_calls"]:
        out.print(
            f"POSTRIDER_MODEL_CALLS_PER_RUN is {answer['most_calls']:,}: the rest goes out in the templates' words"
        )
    if not answer["is_set"]:
        out.print("no model is set: templates would go out")


def _show_stages(run: Mapping[str, Any]) -> None:
    """What each did, and how what is carried from tick to tick was made."""
    stages = table("stages", "stage", "gate", "expectations#", "seconds#", "did~")
    gates = {gate["stage"]: gate for gate in run["gates"]}
    for name, stage in run["stages"].items():
        gate = gates.get(name)
        word = "" if gate is None else "[green]passed[/]" if gate["passed"] else "[red]failed[/]"
        did = ", ".join(_count(key, value) for key, value in stage.items() if key != "seconds")
        stages.add_row(name, word, str(gate["expectations"]) if gate else "", f"{stage['seconds']:.2f}", did)
    if run["stages"]:
        out.print(stages)
    if run["state"]:
        out.print(f"\npeople's days and activity: {escape(run['state'])}", soft_wrap=True)


def _show_cap_prices(rows: Sequence[Mapping[str, Any]]) -> None:
    """What one place more would have brought; nobody knows where no candidate has a value."""
    if not rows:
        return
    made = table("one place more, in dollars expected", "cap", "of each", "held back#", "price#", "highest#")
    for row in rows:
        prices = ("-" if row[name] is None else f"{row[name]:,.2f}" for name in ("price", "highest_price"))
        made.add_row(row["cap"], row["shared_by"], f"{row['candidates']:,}", *prices)
    out.print(made)
    out.print()


def _show_sentence(stage: str, line: Mapping[str, Any], mark: str) -> None:
    out.print(f"\n{mark} {stage}: {escape(line['sentence'])}")
    keys = [escape(str(key)) for key in line.get("examples", [])]
    flow(f"found {line.get('unexpected_count', '')}", keys, indent=2)


def _count(name: str, value: Any) -> str:
    """A count with its name; of several counts, such as the rows per landed table, only their sum."""
    return f"{sum(value.values()) if isinstance(value, Mapping) else value:,} {name.replace('_', ' ')}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def mark(value: bool | None) -> str:
    """Yes, no, or not known."""
    return "[dim]-[/]" if value is None else "[green]✓[/]" if value else "[red]✗[/]"


def fact(name: str, value: Any) -> str:
    """A name with its value."""
    return escape(f"{name}: {'-' if value is None else value}")


def moment_of(text: str) -> str:
    """A time to the second as the warehouse has it, in UTC."""
    return f"{datetime.fromisoformat(text.removesuffix('Z')):%Y-%m-%d %H:%M:%S}"


def show_check(answer: Mapping[str, Any]) -> None:
    """What was looked at, and every problem in a line of its own."""
    for name, value in answer.get("settings", {}).items():
        out.print(f"{name}={escape(str(value))}", soft_wrap=True)
    for name, count in answer["checked"].items():
        out.print(f"{count:>5} {name}")
    if accepted := answer.get("accepted"):
        out.print(f"{len(accepted):>5} findings accepted with a reason")
    for problem in answer["problems"]:
        out.print(f"[red]✗[/] {escape(problem)}", soft_wrap=True)
    for warning in answer["warnings"]:
        out.print(f"[yellow]![/] {escape(warning)}", soft_wrap=True)
    if answer["ok"]:
        out.print("[green]✓[/] all is well")


def show_translations(answer: Mapping[str, Any]) -> None:
    """What was written, per locale how much is translated, and every problem in a line of its own."""
    if "file" in answer:
        out.print(f"{answer['file']}: {answer['messages']:,} messages")
    if "drafted" in answer:
        out.print(
            f"{answer['drafted']:,} of {answer['asked']:,} drafted as fuzzy, {answer['objected_to']:,} with objections; "
            "take the flag away where one is right"
        )
        for name, count in answer["failures"].items():
            out.print(f"[yellow]![/] {count:,} calls: {escape(name)}")
    for locale, counts in answer.get("locales", {}).items():
        said = ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "no catalogue"
        out.print(f"{locale:>5} {said}")
    for problem in answer.get("problems", ()):
        out.print(f"[red]✗[/] {escape(problem)}", soft_wrap=True)


def show_campaigns(answer: Mapping[str, Any]) -> None:
    """One row per campaign, by use case; below it what is stopped, by whom and why."""
    is_wide = out.width >= WIDE
    rows = table(
        "", "campaign", "use case", "state", "mode", "review", "candidates#", "sends#", *(["owner"] if is_wide else [])
    )
    for entry in answer["campaigns"]:
        state = entry["state"] if entry["state"] == "live" else f"[red]{entry['state']}[/]"
        rows.add_row(
            entry["campaign_id"], entry["use_case"], state, entry["mode"], entry["review"],
            f"{entry['candidates']:,}", f"{entry['sends']:,}", *([escape(entry["owner"])] if is_wide else []),
        )  # fmt: skip
    out.print(rows)
    for control in answer["controls"]:
        what = (
            "everything is stopped"
            if control["name"] == "kill"
            else f"{control['name']} {control['campaign_id'] or ''}"
        )
        said = f"[red]![/] {what}: {escape(control['reason'])} ({escape(control['actor'])}, {moment_of(control['set_at'])} UTC)"
        out.print(said, soft_wrap=True)


def show_history(answer: Mapping[str, Any]) -> None:
    """Each version with its time and what it changed, oldest first; last what the next tick will decide by."""
    for one in answer["versions"]:
        until = f"until {moment_of(one['valid_to'])}" if one["valid_to"] else "in force"
        out.print(f"[bold]version {one['version']}[/]  {one['policy_hash'][:SHORT]}", soft_wrap=True)
        out.print(f"  from {moment_of(one['valid_from'])} UTC, {until}", soft_wrap=True)
        _show_changes(one["changes"])
    if not answer["versions"]:
        out.print("no tick has decided by this campaign yet")
    if (ahead := answer["next"]) is not None:
        said = f"[bold]from the next tick on[/]  {ahead['policy_hash'][:SHORT]}"
        out.print(said if ahead["policy_hash"] else "[bold]gone from the next tick on[/]", soft_wrap=True)
        _show_changes(ahead["changes"])


_DIFF_STYLES = {"+": "green", "-": "red", "@": "dim"}


def _show_changes(changes: Iterable[Mapping[str, Any]]) -> None:
    for change in changes:
        out.print(f"  {escape(change['part'])}", soft_wrap=True)
        show_lines_of_diff(change["diff"], indent=4)


def show_lines_of_diff(lines: Iterable[str], indent: int) -> None:
    """Lines of a unified diff, coloured by their first character."""
    for line in lines:
        style = _DIFF_STYLES.get(line[:1])
        text = escape(" " * indent + line)
        out.print(f"[{style}]{text}[/]" if style else text, soft_wrap=True)


def show_verify(answer: Mapping[str, Any]) -> None:
    """The chain and each invariant, good or broken."""
    chain = answer["chain"]
    rows = table("", "", "invariant", "checked#", "what holds~" if answer["ok"] else "what was found~")
    rows.add_row(mark(chain["ok"]), "chain", f"{chain['events']:,}", escape(chain.get("detail") or ""))
    for invariant in answer["invariants"]:
        rows.add_row(mark(invariant["ok"]), invariant["id"], f"{invariant['checked']:,}", escape(invariant["detail"]))
    out.print(rows)


def broken(answer: Mapping[str, Any]) -> list[str]:
    """A line for each thing that doesn't hold."""
    chain = [] if answer["chain"]["ok"] else [f"audit chain: {answer['chain'].get('detail')}"]
    return chain + [f"{entry['id']}: {entry['detail']}" for entry in answer["invariants"] if not entry["ok"]]


def show_waiting(answer: Mapping[str, Any]) -> None:
    """One row per draft in review; the beginning of an id is enough to name it."""
    count = len(answer["waiting"])
    rows = table(
        f"{count} draft{'' if count == 1 else 's'} in review", "message", "campaign", "user", "mode", "why", "subject~"
    )
    for entry in answer["waiting"]:
        rows.add_row(
            entry["message_id"][:SHORT],
            entry["campaign_id"],
            entry["user_id"],
            entry["mode"],
            entry["route_reason"] or "",
            escape(entry["subject"]),
        )
    out.print(rows)
    if count:
        flow(
            "next",
            ["[bold]postrider review show <message>[/]", "[bold]postrider review approve <message or campaign>[/]"],
        )


def show_draft(answer: Mapping[str, Any]) -> None:
    """A draft as its recipient would read it in plain text, with its facts."""
    draft = answer["draft"]
    out.print(f"[bold]{answer['message_id']}[/] {answer['state']}")
    flow(
        "to   ",
        [
            escape(answer["to"]),
            f"draft {draft['draft_hash'][:SHORT]}",
            f"mode {draft['mode']}",
            f"why {answer['route_reason'] or 'unknown'}",
        ],
    )
    flow("facts", (fact(name, value) for name, value in answer["facts"].items()))
    if told := answer["story"]["knowledge"]:
        flow("knowledge", consulted(told))
    out.print(f"\nSubject: {escape(draft['subject'])}\nPreheader: {escape(draft['preheader'])}\n", soft_wrap=True)
    out.print(escape(draft["text"]), soft_wrap=True)


def consulted(told: Mapping[str, Any]) -> list[str]:
    """What the writer of a draft had looked up: each excerpt with its hash, and how they were found."""
    return [escape(f"{one['id']} {one['hash'][:SHORT]}") for one in told["excerpts"]] + [
        escape(f"by {told['ranked_by']}")
    ]
