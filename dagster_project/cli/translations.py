"""`postrider translations …`: what templates say in other languages."""

from __future__ import annotations

from typing import Annotated

import typer

from dagster_project.cli.arguments import Json, home, show
from dagster_project.lifecycle.errors import Refusal

translations_app = typer.Typer(
    help="What templates say in other languages, as gettext catalogues.", no_args_is_help=True
)


@translations_app.command("extract")
def translations_extract(as_json: Json = False) -> None:
    """Write templates/locales/messages.pot: what there is to translate.

    Example: postrider translations extract
    """
    from dagster_project.commands import report
    from dagster_project.commands.translations import extract

    show(extract(home()), as_json, report.show_translations)


@translations_app.command("update")
def translations_update(as_json: Json = False) -> None:
    """Merge what there is to translate into each locale's .po: translations are kept, those of changed words become fuzzy.

    Example: postrider translations update
    """
    from dagster_project.commands import report
    from dagster_project.commands.translations import update

    show(update(home()), as_json, report.show_translations)


@translations_app.command("check")
def translations_check(as_json: Json = False) -> None:
    """Whether each offered locale is wholly translated, with its placeholders, numbers, length and language.

    Example: postrider translations check
    """
    from dagster_project.commands import report
    from dagster_project.commands.translations import check

    answer = check(home())
    show(answer, as_json, report.show_translations)
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

    show(draft(home(), locale), as_json, report.show_translations)
