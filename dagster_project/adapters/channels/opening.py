"""The only place that makes a transport. A test holds that, so the environment lock cannot be forgotten."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from dagster_project.adapters.channels.base import Channel
from dagster_project.adapters.channels.esp import EspChannel, read_esp_settings
from dagster_project.adapters.channels.failover import FailoverChannel
from dagster_project.adapters.channels.in_app import InAppChannel, Put
from dagster_project.adapters.channels.lock import LockedChannel, read_allow_list
from dagster_project.adapters.channels.outbox import OutboxChannel
from dagster_project.adapters.channels.sms import SmsChannel
from dagster_project.adapters.channels.smtp import SmtpChannel
from dagster_project.adapters.channels.smtp_url import read_smtp_url
from dagster_project.adapters.channels.webhook import WebhookChannel
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.worker import IN_APP


@dataclasses.dataclass(frozen=True, slots=True)
class Connections:
    """Where each transport finds its server, as the settings of the same names say it. Only what is opened is read."""

    smtp_url: SecretStr | None = None
    esp: str | None = None
    esp_settings: SecretStr | None = None
    esp_url: str | None = None
    webhook_url: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    webhook_is_idempotent: bool = False
    sms_url: SecretStr | None = None
    sms_secret: SecretStr | None = None


def open_channel(
    name: str,
    *,
    env: str,
    outbox: Path,
    as_of: datetime,
    connections: Connections | None = None,
    allow_list: str = "",
    backup: str | None = None,
    put: Put | None = None,
) -> Channel:
    """The channel `name`, to be used in a `with`. Outside `production` it refuses whoever is not on the allow-list.

    `outbox` is the folder for .eml files; that channel sends nothing, so it has no lock and needs no `backup`. `put` is what
    the in-app inbox takes messages by. Raises InputError for an unknown channel or a wrong setting of it; entering the
    channel raises it when no server answers.
    """
    if name == "outbox":
        return OutboxChannel(outbox, as_of)
    servers = connections or Connections()
    channel = _transport(name, servers, put)
    if backup is not None:
        if backup == name:
            raise InputError(
                f"POSTRIDER_BACKUP_CHANNEL: found {backup!r}, which is the channel itself; allowed: another"
            )
        if name == IN_APP:  # and a lost worker's message could no longer be looked up in the inbox
            raise InputError(
                f"POSTRIDER_BACKUP_CHANNEL: found {backup!r}; allowed with in_app: none, for it is down only with the ledger"
            )
        channel = FailoverChannel(channel, _transport(backup, servers, None, "POSTRIDER_BACKUP_CHANNEL"))
    return channel if env == "production" else LockedChannel(channel, read_allow_list(allow_list))


def _transport(name: str, servers: Connections, put: Put | None, setting: str = "POSTRIDER_CHANNEL") -> Channel:
    match name:
        case "smtp":
            return SmtpChannel(read_smtp_url(_shown(servers.smtp_url)))
        case "esp":
            return EspChannel(
                servers.esp or "", read_esp_settings(_shown(servers.esp_settings)), api_url=servers.esp_url
            )
        case "webhook":
            return WebhookChannel(
                _shown(servers.webhook_url),
                _shown(servers.webhook_secret),
                receiver_is_idempotent=servers.webhook_is_idempotent,
            )
        case "sms":
            return SmsChannel(_shown(servers.sms_url), _shown(servers.sms_secret))
        case "in_app" if put is not None:
            return InAppChannel(put)
        case _:
            raise InputError(f"{setting}: found {name!r}; allowed: outbox, smtp, esp, webhook, sms, in_app")


def _shown(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
