"""`postrider explain`, `simulate`, `diff`, `preview`, `check`, `verify`: what was, would be and is. None of them sends anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dagster_project.cli.arguments import AsOf, Data, Json, Source, home, moment, show
from dagster_project.lifecycle.errors import InputError, Refusal


def explain(
    user: Annotated[str | None, typer.Option("--user", help="user_id, also of somebody who never qualified")] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="only this campaign, told in full")] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="instead of one person: how many fail at what, everybody counted once")
    ] = False,
    as_of: AsOf = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Why somebody did or didn't get a message: conditions, rules, verdict, recipe, attempts. Or why how many didn't.

    Example: postrider explain --user u_0000184 --campaign setup_stalled
    Example: postrider explain --campaign setup_stalled --summary
    """
    from dagster_project.commands import explain_report
    from dagster_project.commands.explain import explain as explain_command
    from dagster_project.commands.funnel import funnel

    if summary:
        if campaign is None or user is not None:
            raise InputError(
                "--summary: found " + ("--user" if user else "no --campaign") + "; allowed is --campaign alone"
            )
        show(funnel(home(source), campaign, moment(as_of)), as_json, explain_report.show_funnel)
        return
    if user is None:
        raise InputError("explain: found no --user; allowed is --user, or --campaign with --summary")
    show(explain_command(home(source), user, campaign, moment(as_of)), as_json, explain_report.show_explanation)


def simulate(
    first: Annotated[str, typer.Option("--from", help="time of the first tick, ISO 8601; without a zone it is UTC")],
    last: Annotated[str | None, typer.Option("--to", help="no tick after it; default: when the data was read")] = None,
    step: Annotated[str, typer.Option("--step", help="time between two ticks: 1d, 6h, 30m")] = "1d",
    campaign: Annotated[
        list[str] | None, typer.Option("--campaign", help="report only this one, may be repeated; all are decided")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="YAML of campaigns and what changes in their policies: both side by side"),
    ] = None,
    review: Annotated[
        str, typer.Option("--review", help="drafts that need a person: approve (at once) or wait (for ever)")
    ] = "approve",
    model_price: Annotated[
        str | None,
        typer.Option(
            "--model-price", help="US dollars per million tokens in and out, such as 0.15/0.60; default: the list price"
        ),
    ] = None,
    source: Source = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Replay ticks over history without sending: who would get what, what holds the others back, what it would cost.

    Example: postrider simulate --from 2026-08-01T09:00:00Z
    Example: postrider simulate --from 2026-08-01T09:00:00Z --policy fewer.yml
    """
    from dagster_project.commands import simulate_report
    from dagster_project.commands.simulate import read_asked
    from dagster_project.commands.simulate import simulate as simulate_command

    opened = home(source, data)
    since, until = moment(first, "--from"), moment(last, "--to")
    asked = read_asked(
        since or opened.default_as_of(), until or opened.default_as_of(), step, campaign, policy, review, model_price
    )
    with simulate_report.progress(quiet=as_json) as listener:
        answer = simulate_command(opened, asked, listener)
    show(answer, as_json, simulate_report.show_simulation)
    if any(one["broken"] for one in answer["policies"]):
        raise Refusal("a delivery invariant did not hold: " + simulate_report.first_broken(answer))


def diff(
    base: Annotated[str, typer.Option("--base", help="commit, branch or tag to compare the working tree with")],
    as_of: AsOf = None,
    fail_over: Annotated[
        str | None,
        typer.Option(
            "--fail-over", help="exit code 1 when more people of one campaign differ: 50, or 5% of its audience"
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="as a comment on a pull request")] = False,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """What the project as it stands would decide differently from a revision: who enters, who leaves, and why. Sends nothing.

    Example: postrider diff --base main
    Example: postrider diff --base main --markdown --fail-over 5%
    """
    from dagster_project.commands import diff_report
    from dagster_project.commands.diff import diff as diff_command
    from dagster_project.lifecycle.comparing import parse_limit

    limit = parse_limit(fail_over) if fail_over is not None else None
    answer = diff_command(home(source), base, moment(as_of), limit)
    show(
        answer,
        as_json,
        (lambda found: print(diff_report.markdown(found))) if markdown else diff_report.show_diff,
    )
    if answer["over"]:
        raise Refusal(f"more than {fail_over} of the people differ in {', '.join(answer['over'])}")


def preview(
    campaign: Annotated[str | None, typer.Argument(help="campaign_id")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="every campaign in every locale with sample facts, and contact sheets")
    ] = False,
    user: Annotated[str | None, typer.Option("--user", help="somebody who is a candidate; default the first")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="template variant; default: default")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder; default <home>/previews")] = None,
    as_json: Json = False,
) -> None:
    """Write the mail as HTML, text and, where Chromium is found, a picture. Plans and sends nothing.

    Example: postrider preview setup_stalled
    Example: postrider preview --all --out previews
    """
    from dagster_project.commands import preview as preview_command

    if every == bool(campaign) or (every and (user or variant)):
        raise InputError(
            "preview: found both or neither of a campaign and --all, allowed: one of them; --user and --variant with a campaign"
        )
    if every:
        answer = preview_command.preview_all(home(), out)
        show(answer, as_json, lambda found: print(*found["sheets"], found["told"], sep="\n"))
        return
    answer = preview_command.preview(home(), campaign or "", user, variant or "default", out)
    consulted = [f"knowledge {one['id']} {one['hash']}" for one in (answer["knowledge"] or {}).get("excerpts", ())]
    show(answer, as_json, lambda found: print(found["subject"], *found["files"], *consulted, sep="\n"))


def check(
    source: Source = None,
    settings: Annotated[bool, typer.Option("--settings", help="list every setting, secrets masked")] = False,
    templates: Annotated[
        bool,
        typer.Option("--templates", help="inspect each mail in each locale: MJML, mail clients, axe, SpamAssassin"),
    ] = False,
    links: Annotated[
        bool, typer.Option("--links", help="ask for each link of the templates; leaves the machine")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check settings, policies, triggers and templates without running anything.

    Example: postrider check
    Example: postrider check --templates
    """
    from dagster_project.commands import report
    from dagster_project.commands.check import check as check_command

    answer = check_command(home(source), settings, with_templates=templates, with_links=links)
    show(answer, as_json, report.show_check)
    if not answer["ok"]:
        raise Refusal(f"{len(answer['problems'])} problem(s) found")


def verify(as_json: Json = False) -> None:
    """Recompute the audit chain and check every invariant of the ledger.

    Example: postrider verify
    """
    from dagster_project.commands import report

    with home().ledger() as ledger:
        answer = ledger.verify()
    show(answer, as_json, report.show_verify)
    if not answer["ok"]:
        raise Refusal("the ledger doesn't hold: " + "; ".join(report.broken(answer)))
