"""`postrider review …`: what a person reads before it leaves."""

from __future__ import annotations

from typing import Annotated

import typer

from dagster_project.cli.arguments import Actor, Json, Reason, home, show

review_app = typer.Typer(help="See, approve, reject and edit drafts that wait for a person.", no_args_is_help=True)


@review_app.command("list")
def review_list(as_json: Json = False) -> None:
    """Drafts that wait for a person.

    Example: postrider review list
    """
    from dagster_project.commands import report
    from dagster_project.commands.review import waiting

    show(waiting(home()), as_json, report.show_waiting)


@review_app.command("show")
def review_show(message: Annotated[str, typer.Argument(help="message_id")], as_json: Json = False) -> None:
    """One draft with its facts and history.

    Example: postrider review show 3f2a…
    """
    from dagster_project.commands import report, review

    show(review.show(home(), message), as_json, report.show_draft)


@review_app.command("approve")
def review_approve(
    messages: Annotated[list[str], typer.Argument(help="message_ids, or a campaign_id for all that wait in it")],
    by: Actor,
    reason: Reason = "approved",
    as_json: Json = False,
) -> None:
    """Let drafts go out at the next delivery. Binds to the text as it stands now.

    Example: postrider review approve churn_risk --by ana
    """
    from dagster_project.commands.review import decide

    show(decide(home(), messages, "approve", by, reason), as_json, lambda answer: print(answer["said"]))


@review_app.command("reject")
def review_reject(
    messages: Annotated[list[str], typer.Argument(help="message_ids, or a campaign_id for all that wait in it")],
    by: Actor,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Cancel drafts for good; these messages are never sent.

    Example: postrider review reject 3f2a… --by ana --reason "tone"
    """
    from dagster_project.commands.review import decide

    show(decide(home(), messages, "reject", by, reason), as_json, lambda answer: print(answer["said"]))


@review_app.command("edit")
def review_edit(
    message: Annotated[str, typer.Argument(help="message_id")],
    by: Actor,
    subject: Annotated[str | None, typer.Option("--subject", help="the new subject")] = None,
    replace: Annotated[
        list[str] | None, typer.Option("--replace", help='"old words=>new words", in HTML and text')
    ] = None,
    reason: Reason = "edited",
    as_json: Json = False,
) -> None:
    """Change the words of a draft. It gets a new hash, and an approval given before is void.

    Example: postrider review edit 3f2a… --by ana --replace "Hi=>Hello"
    """
    from dagster_project.commands.review import edit

    answer = edit(home(), message, by, subject, replace or [], reason)
    show(answer, as_json, lambda found: print(found["said"]))
