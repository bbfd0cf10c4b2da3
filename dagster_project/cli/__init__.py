"""The `postrider` command: what it offers, and how a call of it ends.

The files beside this one read a command's arguments, call one function of `commands/` and print what came of it. They import that function
when they are called: each call pays for what it uses.
"""

from __future__ import annotations

import atexit
import os
import sys

import typer
from typer.exceptions import TyperException

from dagster_project.cli import controls, questions, sending, trying
from dagster_project.cli.campaigns import campaigns_app
from dagster_project.cli.drafts import drafts_app
from dagster_project.cli.inbox import inbox_app
from dagster_project.cli.knowledge import knowledge_app
from dagster_project.cli.review import review_app
from dagster_project.cli.translations import translations_app
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
for _command in (  # in the order in which --help lists them
    sending.run,
    sending.deliver,
    sending.reconcile,
    questions.explain,
    questions.simulate,
    questions.diff,
    questions.preview,
    questions.check,
    controls.pause,
    controls.resume,
    controls.kill,
    questions.verify,
    trying.demo,
    trying.ui,
):
    app.command()(_command)
app.add_typer(review_app, name="review")
app.add_typer(campaigns_app, name="campaigns")
app.add_typer(knowledge_app, name="knowledge")
app.add_typer(translations_app, name="translations")
app.add_typer(drafts_app, name="drafts")
app.add_typer(inbox_app, name="inbox")


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
