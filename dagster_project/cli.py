"""The `postrider` command: reads arguments, calls one function, prints what came of it."""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from dagster_project.arguments import AsOf, Data, Json, Source
from dagster_project.arguments import home as _home
from dagster_project.arguments import moment as _time
from dagster_project.arguments import show as _show
from dagster_project.cli_drafts import drafts_app
from dagster_project.lifecycle.errors import InputError, Refusal

DONE, NO, WRONG = 0, 1, 2

app = typer.Typer(
    name="postrider",
    help="The right message from the warehouse, and the proof of why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
review_app = typer.Typer(help="See, approve, reject and edit drafts that wait for a person.", no_args_is_help=True)
app.add_typer(review_app, name="review")
campaigns_app = typer.Typer()
app.add_typer(campaigns_app, name="campaigns")
knowledge_app = typer.Typer(help="What writers of mails may look up.", no_args_is_help=True)
app.add_typer(knowledge_app, name="knowledge")
translations_app = typer.Typer(
    help="What templates say in other languages, as gettext catalogues.", no_args_is_help=True
)
app.add_typer(translations_app, name="translations")
app.add_typer(drafts_app, name="drafts")
inbox_app = typer.Typer(help="The in-app inbox that the product's pages ask.", no_args_is_help=True)
app.add_typer(inbox_app, name="inbox")

MAX_SAID_CHARS = 500


def _said_something(text: str) -> str:
    """A reason or a name that the audit trail can show: one line with something in it."""
    if not text.strip() or not text.isprintable() or len(text) > MAX_SAID_CHARS:
        raise InputError(
            f"--reason and --by: found {text[:60]!r}; allowed is one line of 1 to {MAX_SAID_CHARS} characters"
        )
    return text.strip()


Reason = Annotated[str, typer.Option("--reason", help="why; it stands in the audit trail", callback=_said_something)]
Actor = Annotated[
    str, typer.Option("--by", envvar="USER", help="who; it stands in the audit trail", callback=_said_something)
]


def main() -> None:
    """Run the command line; an error is one line on standard error, exit code 1 for a no and 2 for wrong input."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    is_debugging = len(arguments) < len(sys.argv) - 1
    code, line = DONE, None
    try:
        code = app(args=arguments, standalone_mode=False) or DONE
    except typer.Exit as stop:
        code = stop.exit_code
    except typer.Abort:
        code, line = NO, "stopped"
    except TyperException as error:
        said = getattr(error, "format_message", error.__str__)()
        code, line = (
            (WRONG, f"{said} (--help shows how)") if said.strip() else (DONE, None)
        )  # silent: it has shown help
    except (KeyboardInterrupt, Exception) as error:
        if is_debugging:
            raise
        code, line = _said(error)
    if line is not None:
        print(f"postrider: {' '.join(line.split())}", file=sys.stderr)
    _exit(code)


def _said(error: BaseException) -> tuple[int, str]:
    """Exit code and one line for whatever stopped a command."""
    if isinstance(error, Refusal):
        return NO, str(error)
    if isinstance(error, KeyboardInterrupt):
        return NO, "stopped"
    if isinstance(error, (InputError, OSError)):
        return WRONG, str(error)
    return WRONG, f"{type(error).__name__}: {error} (--debug shows where)"


def _exit(code: int) -> None:
    """Leave after every exit handler has run, without the interpreter's own teardown.

    DuckDB's binding prints some forty lines about leaked objects during that teardown once Great Expectations has
    used it; they mean nothing and would end each run with alarm.
    """
    if "great_expectations" in sys.modules and "pytest" not in sys.modules:
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@app.command()
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

        _show(plan_command(_home(source, data), _time(as_of)), as_json, report.show_plan)
        return
    from dagster_project.commands.run import run as run_command

    with report.progress(quiet=as_json) as listener:
        outcome = run_command(_home(source, data), _time(as_of), listener)
    _show(outcome.as_dict(), as_json, report.show_run)
    if outcome.error:
        raise Refusal(outcome.error)


@app.command()
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

    home = _home(source)
    with rate(home, quiet=as_json) as listener:
        answer = deliver_command(home, workers, watch, _time(as_of), listener)
    _show(answer, as_json, show_delivery)
    if answer["ended_by"] not in ("nothing_due", "throttled", "SIGINT", "SIGTERM"):
        raise Refusal(f"stopped: {answer['ended_by']}")


@app.command()
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

    home = _home(source)
    answer = reconcile_command(home, messages or [], word, by, evidence, by_key=by_key, event_file=events)
    _show(answer, as_json, show_doubt)


@app.command()
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
        _show(funnel(_home(source), campaign, _time(as_of)), as_json, explain_report.show_funnel)
        return
    if user is None:
        raise InputError("explain: found no --user; allowed is --user, or --campaign with --summary")
    _show(explain_command(_home(source), user, campaign, _time(as_of)), as_json, explain_report.show_explanation)


@app.command()
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

    home = _home(source, data)
    since, until = _time(first, "--from"), _time(last, "--to")
    asked = read_asked(
        since or home.default_as_of(), until or home.default_as_of(), step, campaign, policy, review, model_price
    )
    with simulate_report.progress(quiet=as_json) as listener:
        answer = simulate_command(home, asked, listener)
    _show(answer, as_json, simulate_report.show_simulation)
    if any(one["broken"] for one in answer["policies"]):
        raise Refusal("a delivery invariant did not hold: " + simulate_report.first_broken(answer))


@app.command()
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
    answer = diff_command(_home(source), base, _time(as_of), limit)
    _show(
        answer,
        as_json,
        (lambda found: print(diff_report.markdown(found))) if markdown else diff_report.show_diff,
    )
    if answer["over"]:
        raise Refusal(f"more than {fail_over} of the people differ in {', '.join(answer['over'])}")


@app.command()
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
        answer = preview_command.preview_all(_home(), out)
        _show(answer, as_json, lambda found: print(*found["sheets"], found["told"], sep="\n"))
        return
    answer = preview_command.preview(_home(), campaign or "", user, variant or "default", out)
    consulted = [f"knowledge {one['id']} {one['hash']}" for one in (answer["knowledge"] or {}).get("excerpts", ())]
    _show(answer, as_json, lambda found: print(found["subject"], *found["files"], *consulted, sep="\n"))


@app.command()
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

    answer = check_command(_home(source), settings, with_templates=templates, with_links=links)
    _show(answer, as_json, report.show_check)
    if not answer["ok"]:
        raise Refusal(f"{len(answer['problems'])} problem(s) found")


@campaigns_app.callback(invoke_without_command=True)
def campaigns(context: typer.Context, source: Source = None, as_json: Json = False) -> None:
    """Every campaign: what it is for, whether it is live, its last audience.

    Example: postrider campaigns
    """
    if context.invoked_subcommand is not None:
        return
    from dagster_project.commands import report
    from dagster_project.commands.controls import campaigns as campaigns_command

    _show(campaigns_command(_home(source)), as_json, report.show_campaigns)


@campaigns_app.command("history")
def campaigns_history(
    campaign: Annotated[str, typer.Argument(help="campaign_id")], source: Source = None, as_json: Json = False
) -> None:
    """What a campaign's policy, SQL and templates were, since when, and what changed: as the ticks decided.

    Example: postrider campaigns history winback
    """
    from dagster_project.commands import report
    from dagster_project.commands.history import history

    _show(history(_home(source), campaign), as_json, report.show_history)


@translations_app.command("extract")
def translations_extract(as_json: Json = False) -> None:
    """Write templates/locales/messages.pot: what there is to translate.

    Example: postrider translations extract
    """
    from dagster_project.commands import report
    from dagster_project.commands.translations import extract

    _show(extract(_home()), as_json, report.show_translations)


@translations_app.command("update")
def translations_update(as_json: Json = False) -> None:
    """Merge what there is to translate into each locale's .po: translations are kept, those of changed words become fuzzy.

    Example: postrider translations update
    """
    from dagster_project.commands import report
    from dagster_project.commands.translations import update

    _show(update(_home()), as_json, report.show_translations)


@translations_app.command("check")
def translations_check(as_json: Json = False) -> None:
    """Whether each offered locale is wholly translated, with its placeholders, numbers, length and language.

    Example: postrider translations check
    """
    from dagster_project.commands import report
    from dagster_project.commands.translations import check

    answer = check(_home())
    _show(answer, as_json, report.show_translations)
    if answer["problems"]:
        raise Refusal(f"{len(answer['problems'])} problem(s) found")


@translations_app.command("draft")
def translations_draft(
    locale: Annotated[str, typer.Option("--locale", help="one that a template offers")], as_json: Json = False
) -> None:
    """Let the model translate what a locale lacks. Its drafts are fuzzy: none is used before a person takes the flag away.

    Example: postrider translations draft --locale de
    """
    from dagster_project.commands import report
    from dagster_project.commands.translations import draft

    _show(draft(_home(), locale), as_json, report.show_translations)


@app.command()
def pause(
    campaign: Annotated[str, typer.Argument(help="campaign_id")], reason: Reason, by: Actor, as_json: Json = False
) -> None:
    """Send nothing more of one campaign, at once, until it is resumed.

    Example: postrider pause winback --reason "wrong discount in the text"
    """
    from dagster_project.commands.controls import pause as pause_command

    _show(pause_command(_home(), campaign, by, reason), as_json, lambda answer: print(answer["said"]))


@app.command()
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

    _show(resume_command(_home(), campaign, by, reason), as_json, lambda answer: print(answer["said"]))


@app.command()
def kill(reason: Reason, by: Actor = "operator", as_json: Json = False) -> None:
    """Stop all sending, at once, everywhere. `postrider resume` lifts it.

    Example: postrider kill --reason "bounces rise"
    """
    from dagster_project.commands.controls import kill as kill_command

    _show(kill_command(_home(), by, reason), as_json, lambda answer: print(answer["said"]))


@app.command()
def verify(as_json: Json = False) -> None:
    """Recompute the audit chain and check every invariant of the ledger.

    Example: postrider verify
    """
    from dagster_project.commands import report

    with _home().ledger() as ledger:
        answer = ledger.verify()
    _show(answer, as_json, report.show_verify)
    if not answer["ok"]:
        raise Refusal("the ledger doesn't hold: " + "; ".join(report.broken(answer)))


@app.command()
def demo(
    users: Annotated[int, typer.Option("--users", help="people")] = 10_000,
    days: Annotated[int, typer.Option("--days", help="days of history")] = 120,
    seed: Annotated[int, typer.Option("--seed", help="another seed makes another company")] = 7,
    out: Annotated[Path | None, typer.Option("--out", help="folder; default <home>/demo")] = None,
    as_json: Json = False,
) -> None:
    """Make the synthetic company's data as Parquet, the same for the same seed.

    Example: postrider demo --users 100000 --days 180 --out big
    """
    from dagster_project.commands.demo import demo as demo_command

    answer = demo_command(_home(), users, days, seed, out)
    _show(
        answer,
        as_json,
        lambda found: print(f"{found['rows']['events']:,} events of {found['users']:,} users in {found['out']}"),
    )


@app.command()
def ui(port: Annotated[int, typer.Option("--port", help="on 127.0.0.1")] = 3000) -> None:
    """Lineage, runs and gates in the browser, on this machine only.

    Example: postrider ui --port 3000
    """
    from dagster_project.commands.ui import ui as ui_command

    ui_command(_home(), port)


@review_app.command("list")
def review_list(as_json: Json = False) -> None:
    """Drafts that wait for a person.

    Example: postrider review list
    """
    from dagster_project.commands import report
    from dagster_project.commands.review import waiting

    _show(waiting(_home()), as_json, report.show_waiting)


@review_app.command("show")
def review_show(message: Annotated[str, typer.Argument(help="message_id")], as_json: Json = False) -> None:
    """One draft with its facts and history.

    Example: postrider review show 3f2a…
    """
    from dagster_project.commands import report
    from dagster_project.commands.review import show

    _show(show(_home(), message), as_json, report.show_draft)


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

    _show(decide(_home(), messages, "approve", by, reason), as_json, lambda answer: print(answer["said"]))


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

    _show(decide(_home(), messages, "reject", by, reason), as_json, lambda answer: print(answer["said"]))


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

    answer = edit(_home(), message, by, subject, replace or [], reason)
    _show(answer, as_json, lambda found: print(found["said"]))


@knowledge_app.command("list")
def knowledge_list(as_of: AsOf = None, source: Source = None, as_json: Json = False) -> None:
    """Every article of templates/knowledge: its kind, for which campaigns and locales, valid when, and whether a mail may say it.

    Example: postrider knowledge list
    """
    from dagster_project.commands.knowledge import listed
    from dagster_project.commands.knowledge_report import show_knowledge

    _show(listed(_home(source), _time(as_of)), as_json, show_knowledge)


@knowledge_app.command("search")
def knowledge_search(
    words: Annotated[str, typer.Argument(help="what is looked for")],
    campaign: Annotated[str, typer.Option("--campaign", help="campaign_id of the mail")],
    locale: Annotated[str, typer.Option("--locale", help="of the mail")] = "en",
    variant: Annotated[str, typer.Option("--variant", help="template variant")] = "default",
    as_of: AsOf = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """What a writer of this campaign would be shown for these words, with scores. Asks no model.

    Example: postrider knowledge search "why try alerts" --campaign feature_next --locale en
    """
    from dagster_project.commands.knowledge import search
    from dagster_project.commands.knowledge_report import show_search

    _show(search(_home(source), words, campaign, locale, variant, _time(as_of)), as_json, show_search)


@inbox_app.command("serve")
def inbox_serve(
    host: Annotated[str, typer.Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes any that is free")] = 8_080,
) -> None:
    """Answer the product's pages, each with a token of its reader, until Ctrl-C.

    Example: postrider inbox serve --port 8080
    """
    from dagster_project.commands.inbox import serve

    serve(_home(), host, port, lambda at: print(f"the in-app inbox is at {at}/inbox; Ctrl-C ends it", flush=True))


@inbox_app.command("token")
def inbox_token(
    user: Annotated[str, typer.Option("--user", help="user_id, whose inbox it opens")], as_json: Json = False
) -> None:
    """A token to try the inbox with. In production the product's own server makes them.

    Example: postrider inbox token --user u000042
    """
    from dagster_project.commands.inbox import token

    _show(token(_home(), user), as_json, lambda made: print(made["token"]))


if __name__ == "__main__":
    main()
