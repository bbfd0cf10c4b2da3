"""How answers look on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


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
    """A plain table; columns that end in `#` are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(
            column.removesuffix("#"), justify="right" if column.endswith("#") else "left", header_style="dim"
        )
    return made


def show_run(run: Mapping[str, Any]) -> None:
    """The table at the end of a tick, and where to look next."""
    out.print(f"\n[bold]tick as of {run['as_of']}[/]  run {run['run_id']}\n")
    stages = table("stages", "stage", "gate", "expectations#", "seconds#", "did")
    gates = {gate["stage"]: gate for gate in run["gates"]}
    for name, stage in run["stages"].items():
        gate = gates.get(name)
        word = "" if gate is None else "[green]passed[/]" if gate["passed"] else "[red]failed[/]"
        did = ", ".join(f"{key} {_number(value)}" for key, value in stage.items() if key != "seconds")
        stages.add_row(name, word, str(gate["expectations"]) if gate else "", f"{stage['seconds']:.2f}", did)
    out.print(stages)
    if run["campaigns"]:
        words = [word for word in ("send", "hold", "suppress", "holdout", "lose") if word in run["verdicts"]]
        verdicts = table("\nverdicts by campaign", "campaign", "candidates#", *(f"{word}#" for word in words))
        for name, counts in run["campaigns"].items():
            verdicts.add_row(name, str(sum(counts.values())), *(str(counts.get(word, "")) for word in words))
        verdicts.add_row(
            "[bold]all[/]", str(sum(run["verdicts"].values())), *(str(run["verdicts"].get(word, "")) for word in words)
        )
        out.print(verdicts)
        for title, key in (
            ("reasons", "reasons"),
            ("drafts by mode", "drafts"),
            ("fallbacks", "fallbacks"),
            ("deliveries by state", "deliveries"),
        ):
            if run[key]:
                out.print(f"\n[bold]{title}[/]  " + "  ".join(f"{word} {count:,}" for word, count in run[key].items()))
    for gate in run["gates"]:
        for line in gate["failed"] + gate["warnings"]:
            mark = "[red]failed[/]" if line in gate["failed"] else "[yellow]warning[/]"
            keys = ", ".join(map(str, line.get("examples", [])))
            out.print(
                f"\n{mark} {gate['stage']}: {escape(line['sentence'])}  found {line.get('unexpected_count', '')} {escape(keys)}"
            )
    out.print(
        f"\n{run['seconds']:.1f} s in all. Next: [bold]postrider explain --user <id>[/], [bold]postrider review list[/], [bold]make ui[/]"
    )


def _number(value: Any) -> str:
    """A count with its thousands; of the landed tables only their sum."""
    return f"{sum(value.values()) if isinstance(value, Mapping) else value:,}"


def show_explanation(answer: Mapping[str, Any]) -> None:
    """One block per campaign: the verdict first, then what it rests on."""
    out.print(f"[bold]{answer['user_id']}[/] as of {answer['as_of']}")
    for campaign in answer["campaigns"]:
        out.print(f"\n[bold]{campaign['campaign_id']}[/]: {campaign['verdict']} ({campaign['reason']})")
        for condition in campaign["conditions"]:
            out.print(f"  {_mark(condition['value'])} {condition['name']}")
        for rule in campaign["rules"]:
            out.print(
                f"  {_mark(not rule['is_blocked'])} rule {rule['rule']}{' ' + rule['reason'] if rule['reason'] else ''}"
            )
        if campaign["message"]:
            _show_story(campaign["message"])


def _mark(value: bool | None) -> str:
    return "[dim]-[/]" if value is None else "[green]✓[/]" if value else "[red]✗[/]"


def _show_story(story: Mapping[str, Any]) -> None:
    """One line per thing that happened to a message; the JSON has every field."""
    out.print(f"  message {story['message_id']}: [bold]{story['state']}[/]")
    out.print(f"    decision {story['decision_id']} in run {story['run_id']}")
    if story.get("recipe"):
        parts = "  ".join(f"{part} {digest[:12]}" for part, digest in sorted(story["recipe"].items()))
        out.print(f"    recipe  {parts}", soft_wrap=True)
    for draft in story.get("drafts", []):
        why = f" instead of {draft['mode_asked']} ({draft['fallback_reason']})" if draft["fallback_reason"] else ""
        out.print(
            f"    draft {draft['revision']} by {draft['mode']}{why}, {draft['draft_hash'][:12]}: {escape(draft['subject'])}"
        )
    for review in story.get("reviews", []):
        reason = f": {escape(review['reason'])}" if review["reason"] else ""
        out.print(f"    review {review['verdict']} by {review['reviewer'] or 'nobody yet'}{reason}")
    if release := story.get("release"):
        out.print(f"    release {release['release_id'][:12]} of {release['count']} messages, by {release['approver']}")
    for attempt in story.get("attempts", []):
        where = f", {escape(attempt['provider_id'])}" if attempt.get("provider_id") else ""
        out.print(
            f"    attempt {attempt['attempt']} {attempt['outcome'] or 'in flight'} ({escape(attempt['detail'] or '')}){where}",
            soft_wrap=True,
        )


def show_check(answer: Mapping[str, Any]) -> None:
    """What was looked at, and every problem in a line of its own."""
    for name, value in answer.get("settings", {}).items():
        out.print(f"{name}={escape(str(value))}", soft_wrap=True)
    for name, count in answer["checked"].items():
        out.print(f"{count:>5} {name}")
    for problem in answer["problems"]:
        out.print(f"[red]✗[/] {escape(problem)}", soft_wrap=True)
    for warning in answer["warnings"]:
        out.print(f"[yellow]![/] {escape(warning)}", soft_wrap=True)
    if answer["ok"]:
        out.print("[green]✓[/] all is well")


def show_campaigns(answer: Mapping[str, Any]) -> None:
    """One row per campaign, by use case."""
    if answer["killed"]:
        out.print("[red]the kill switch is on: nothing is sent[/]")
    rows = table("", "campaign", "use case", "state", "mode", "review", "candidates#", "sends#", "owner")
    for entry in answer["campaigns"]:
        rows.add_row(
            entry["campaign_id"], entry["use_case"], entry["state"], entry["mode"], entry["review"],
            str(entry["candidates"]), str(entry["sends"]), entry["owner"],
        )  # fmt: skip
    out.print(rows)


def show_verify(answer: Mapping[str, Any]) -> None:
    """The chain and each invariant, good or broken."""
    chain = answer["chain"]
    out.print(f"{_mark(chain['ok'])} audit chain: {chain['events']:,} events {escape(chain.get('detail') or '')}")
    for invariant in answer["invariants"]:
        out.print(
            f"{_mark(invariant['ok'])} {invariant['id']}: {invariant['checked']:,} checked. {escape(invariant['detail'])}"
        )


def broken(answer: Mapping[str, Any]) -> list[str]:
    """A line for each thing that doesn't hold."""
    chain = [] if answer["chain"]["ok"] else [f"audit chain: {answer['chain'].get('detail')}"]
    return chain + [f"{entry['id']}: {entry['detail']}" for entry in answer["invariants"] if not entry["ok"]]


def show_waiting(answer: Mapping[str, Any]) -> None:
    """One row per draft in review."""
    rows = table(f"{len(answer['waiting'])} draft(s) in review", "message", "campaign", "user", "mode", "subject")
    for entry in answer["waiting"]:
        rows.add_row(
            entry["message_id"], entry["campaign_id"], entry["user_id"], entry["mode"], escape(entry["subject"])
        )
    out.print(rows)


def show_draft(answer: Mapping[str, Any]) -> None:
    """A draft as its recipient would read it in plain text, with its facts."""
    draft = answer["draft"]
    out.print(
        f"[bold]{answer['message_id']}[/] {answer['state']} to {escape(answer['to'])}  draft {draft['draft_hash'][:12]}"
    )
    out.print(f"facts {escape(str(answer['facts']))}", soft_wrap=True)
    out.print(f"\nSubject: {escape(draft['subject'])}\n\n{escape(draft['text'])}", soft_wrap=True)
