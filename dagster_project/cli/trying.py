"""`postrider demo` and `ui`: a company to try Postrider on, and a browser to watch it in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dagster_project.cli.arguments import Json, home, show


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

    answer = demo_command(home(), users, days, seed, out)
    show(
        answer,
        as_json,
        lambda found: print(f"{found['rows']['events']:,} events of {found['users']:,} users in {found['out']}"),
    )


def ui(port: Annotated[int, typer.Option("--port", help="on 127.0.0.1")] = 3000) -> None:
    """Lineage, runs and gates in the browser, on this machine only.

    Example: postrider ui --port 3000
    """
    from dagster_project.commands.ui import ui as ui_command

    ui_command(home(), port)
