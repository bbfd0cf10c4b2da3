"""`postrider run`, `deliver`, `reconcile`: what makes mails leave, and settles whether they did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dagster_project.cli.arguments import AsOf, Data, Json, Source, home, moment, show
from dagster_project.lifecycle.errors import Refusal


def run(
    as_of: AsOf = None,
    source: Source = None,
    data: Data = None,
    plan: Annotated[bool, typer.Option("--plan", help="only tell what a language model would be asked")] = False,
    as_json: Json = False,
) -> None:
    """One tick: read the source, decide, draft, review, deliver, evaluate.

    Example: postrider run --as-of 2026-09-01T10:00:00Z
    """
    from dagster_project.commands import report

    if plan:
        from dagster_project.commands.plan import plan as plan_command

        show(plan_command(home(source, data), moment(as_of)), as_json, report.show_plan)
        return
    from dagster_project.commands.run import run as run_command

    with report.progress(quiet=as_json) as listener:
        outcome = run_command(home(source, data), moment(as_of), listener)
    show(outcome.as_dict(), as_json, report.show_run)
    if outcome.error:
        raise Refusal(outcome.error)


def deliver(
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="worker processes")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="go on when nothing is due, until Ctrl-C")] = False,
    as_of: AsOf = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Send what is released. Ctrl-C ends what is in flight and gives the rest back.

    Example: postrider deliver --workers 4
    """
    from dagster_project.commands.deliver import deliver as deliver_command
    from dagster_project.commands.delivery_report import rate, show_delivery

    opened = home(source)
    with rate(opened, quiet=as_json) as listener:
        answer = deliver_command(opened, workers, watch, moment(as_of), listener)
    show(answer, as_json, show_delivery)
    if answer["ended_by"] not in ("nothing_due", "throttled", "SIGINT", "SIGTERM"):
        raise Refusal(f"stopped: {answer['ended_by']}")


def reconcile(
    messages: Annotated[
        list[str] | None, typer.Argument(help="message_ids to settle; none lists those in doubt")
    ] = None,
    word: Annotated[
        str | None, typer.Option("--as", help="sent, rejected, not_sent, or resend (may arrive twice)")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="who says so; kept in the ledger")] = None,
    evidence: Annotated[str | None, typer.Option("--evidence", help="how you know; kept in the ledger")] = None,
    by_key: Annotated[
        bool, typer.Option("--by-key", help="ask the provider: the same request under the same key, now")
    ] = False,
    events: Annotated[
        Path | None, typer.Option("--events", help="what the provider said of its mails: a JSON object per line")
    ] = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """List the messages of which nobody knows whether they went out, and settle them.

    Example: postrider reconcile 3f2a… --as sent --by ana --evidence "in the server's log"
    """
    from dagster_project.commands.delivery_report import show_doubt
    from dagster_project.commands.reconcile import reconcile as reconcile_command

    opened = home(source)
    answer = reconcile_command(opened, messages or [], word, by, evidence, by_key=by_key, event_file=events)
    show(answer, as_json, show_doubt)
