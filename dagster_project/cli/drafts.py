"""`postrider drafts …`: what a language model's texts are worth, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dagster_project.cli.arguments import Json, Source, home, show
from dagster_project.lifecycle.errors import Refusal

drafts_app = typer.Typer(help="What a language model's texts are worth.", no_args_is_help=True)


@drafts_app.command("eval")
def drafts_eval(
    cassette: Annotated[Path | None, typer.Option("--cassette", help="recorded answers; no model is asked")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="file to keep the model's answers in")] = None,
    note: Annotated[str, typer.Option("--note", help="of a recording: who answered")] = "",
    campaign: Annotated[str | None, typer.Option("--campaign", help="only this one")] = None,
    locale: Annotated[str | None, typer.Option("--locale", help="only this one")] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="report or recording to compare with; default: the shipped report")
    ] = None,
    fail_below: Annotated[
        list[str] | None, typer.Option("--fail-below", help="exit code 1 where a measure is below: clarity=4")
    ] = None,
    fail_above: Annotated[
        list[str] | None, typer.Option("--fail-above", help="exit code 1 where a measure is above: fallbacks=0.1")
    ] = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Fixed contexts through the whole pipeline: scores, rejections, repairs, fallbacks, cost, and what differs from the last version.

    Example: postrider drafts eval --cassette templates/evals/cassette.jsonl
    Example: postrider drafts eval --record new.jsonl --campaign winback --fail-below clarity=4 --fail-above fallbacks=0.1
    """
    from dagster_project.commands.evals import Asked, evaluate
    from dagster_project.commands.evals_report import show_evals
    from dagster_project.lifecycle.evals.comparing import read_thresholds

    thresholds = read_thresholds(fail_below or (), fail_above or ())
    answer = evaluate(home(source), Asked(cassette, record, note, campaign, locale, base, thresholds))
    show(answer, as_json, show_evals)
    if answer["failed"]:
        raise Refusal(f"{len(answer['failed'])} threshold(s) passed: {answer['failed'][0]}")


@drafts_app.command("canary")
def drafts_canary(source: Source = None, as_json: Json = False) -> None:
    """A new prompt or model beside the standing ones: rejections, repairs, fallbacks, verdicts, unsubscribes, and how many more it takes.

    Example: postrider drafts canary
    """
    from dagster_project.commands.canary import canary
    from dagster_project.commands.canary_report import show_canary

    show(canary(home(source)), as_json, show_canary)
