"""`postrider pause`, `resume`, `kill`: what stops mails, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from dagster_project.cli.arguments import Actor, Json, Reason, home, show


def pause(
    campaign: Annotated[str, typer.Argument(help="campaign_id")], reason: Reason, by: Actor, as_json: Json = False
) -> None:
    """Send nothing more of one campaign, at once, until it is resumed.

    Example: postrider pause winback --reason "wrong discount in the text"
    """
    from dagster_project.commands.controls import pause as pause_command

    show(pause_command(home(), campaign, by, reason), as_json, lambda answer: print(answer["said"]))


def resume(
    campaign: Annotated[str | None, typer.Argument(help="campaign_id; without it the kill switch is lifted")] = None,
    reason: Reason = "resumed",
    by: Actor = "operator",
    as_json: Json = False,
) -> None:
    """Lift a pause, or without a campaign the kill switch.

    Example: postrider resume winback
    """
    from dagster_project.commands.controls import resume as resume_command

    show(resume_command(home(), campaign, by, reason), as_json, lambda answer: print(answer["said"]))


def kill(reason: Reason, by: Actor = "operator", as_json: Json = False) -> None:
    """Stop all sending, at once, everywhere. `postrider resume` lifts it.

    Example: postrider kill --reason "bounces rise"
    """
    from dagster_project.commands.controls import kill as kill_command

    show(kill_command(home(), by, reason), as_json, lambda answer: print(answer["said"]))
