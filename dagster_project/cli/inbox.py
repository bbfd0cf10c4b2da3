"""`postrider inbox …`: the in-app inbox."""

from __future__ import annotations

from typing import Annotated

import typer

from dagster_project.cli.arguments import Json, home, show

inbox_app = typer.Typer(help="The in-app inbox that the product's pages ask.", no_args_is_help=True)


@inbox_app.command("serve")
def inbox_serve(
    host: Annotated[str, typer.Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes any that is free")] = 8_080,
) -> None:
    """Answer the product's pages, each with a token of its reader, until Ctrl-C.

    Example: postrider inbox serve --port 8080
    """
    from dagster_project.commands.inbox import serve

    serve(home(), host, port, lambda at: print(f"the in-app inbox is at {at}/inbox; Ctrl-C ends it", flush=True))


@inbox_app.command("token")
def inbox_token(
    user: Annotated[str, typer.Option("--user", help="user_id, whose inbox it opens")], as_json: Json = False
) -> None:
    """A token to try the inbox with. In production the product's own server makes them.

    Example: postrider inbox token --user u000042
    """
    from dagster_project.commands.inbox import token

    show(token(home(), user), as_json, lambda made: print(made["token"]))
