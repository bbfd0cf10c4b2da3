"""`postrider knowledge …`: what writers of mails may look up."""

from __future__ import annotations

from typing import Annotated

import typer

from dagster_project.cli.arguments import AsOf, Json, Source, home, moment, show

knowledge_app = typer.Typer(help="What writers of mails may look up.", no_args_is_help=True)


@knowledge_app.command("list")
def knowledge_list(as_of: AsOf = None, source: Source = None, as_json: Json = False) -> None:
    """Every article of templates/knowledge: its kind, for which campaigns and locales, valid when, and whether a mail may say it.

    Example: postrider knowledge list
    """
    from dagster_project.commands.knowledge import listed
    from dagster_project.commands.knowledge_report import show_knowledge

    show(listed(home(source), moment(as_of)), as_json, show_knowledge)


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

    show(search(home(source), words, campaign, locale, variant, moment(as_of)), as_json, show_search)
