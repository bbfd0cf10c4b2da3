"""`postrider campaigns …`: what each is for, and what it was."""

from __future__ import annotations

from typing import Annotated

import typer

from dagster_project.cli.arguments import Json, Source, home, show

campaigns_app = typer.Typer()


@campaigns_app.callback(invoke_without_command=True)
def campaigns(context: typer.Context, source: Source = None, as_json: Json = False) -> None:
    """Every campaign: what it is for, whether it is live, its last audience.

    Example: postrider campaigns
    """
    if context.invoked_subcommand is not None:
        return
    from dagster_project.commands import report
    from dagster_project.commands.controls import campaigns as campaigns_command

    show(campaigns_command(home(source)), as_json, report.show_campaigns)


@campaigns_app.command("history")
def campaigns_history(
    campaign: Annotated[str, typer.Argument(help="campaign_id")], source: Source = None, as_json: Json = False
) -> None:
    """What a campaign's policy, SQL and templates were, since when, and what changed: as the ticks decided.

    Example: postrider campaigns history winback
    """
    from dagster_project.commands import report
    from dagster_project.commands.history import history

    show(history(home(source), campaign), as_json, report.show_history)
