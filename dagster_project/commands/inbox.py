"""`postrider inbox`: the in-app inbox over HTTP, and a token to try it with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from dagster_project.adapters.clock import utc_now, utc_text
from dagster_project.adapters.inbox_app import inbox_app, inbox_token
from dagster_project.adapters.secret import secret_keys
from dagster_project.adapters.serving import serve as serve_app
from dagster_project.home import Home


def serve(home: Home, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Answer the product's pages until Ctrl-C. InputError for a setting that would open the inbox too far, or a port in use."""
    settings = home.settings
    with home.ledger() as ledger:
        app = inbox_app(
            ledger.inbox,
            ledger.mark_read,
            secret_keys(home.path, settings.secret_keys),
            max_age=timedelta(minutes=settings.inbox_token_minutes),
            origins=[origin.strip() for origin in settings.inbox_origins.split(",") if origin.strip()],
        )
        serve_app(app, host, port, on_ready)


def token(home: Home, user_id: str) -> dict[str, Any]:
    """What opens this person's inbox for a while; anybody may have one, for who never got a message has an empty inbox."""
    home.prepare()
    issued_at = utc_now()
    made = inbox_token(secret_keys(home.path, home.settings.secret_keys), user_id, clock=lambda: issued_at)
    ends = issued_at + timedelta(minutes=home.settings.inbox_token_minutes)
    return {"user_id": user_id, "token": made, "expires_at": utc_text(ends)}
