"""The only place that makes a transport. A test holds that, so the environment lock cannot be forgotten."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from dagster_project.adapters.channels.base import Channel
from dagster_project.adapters.channels.lock import LockedChannel, read_allow_list
from dagster_project.adapters.channels.outbox import OutboxChannel
from dagster_project.adapters.channels.smtp import SmtpChannel
from dagster_project.adapters.channels.smtp_url import read_smtp_url
from dagster_project.lifecycle.errors import InputError


def open_channel(
    name: str,
    *,
    env: str,
    outbox: Path,
    as_of: datetime,
    smtp_url: SecretStr | None = None,
    allow_list: str = "",
) -> Channel:
    """The channel `name`, to be used in a `with`. Outside `production` it refuses whoever is not on the allow-list.

    `outbox` is the folder for .eml files; that channel sends nothing, so it has no lock. Raises InputError for an
    unknown channel, a missing or wrong URL, a wrong allow-list; entering the channel raises it when no server answers.
    """
    match name:
        case "outbox":
            return OutboxChannel(outbox, as_of)
        case "smtp":
            transport = SmtpChannel(read_smtp_url(smtp_url.get_secret_value() if smtp_url else None))
        case _:
            raise InputError(f"POSTRIDER_CHANNEL: found {name!r}; allowed: outbox, smtp")
    return transport if env == "production" else LockedChannel(transport, read_allow_list(allow_list))
