"""`smtp://user:password@host:port?starttls=required`, read once and strictly. The password is never shown."""

from __future__ import annotations

import dataclasses
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from dagster_project.lifecycle.errors import InputError

ALLOWED = "smtp://[user:password@]host[:port][?starttls=required|offered|never] or smtps://…"
DEFAULT_PORTS = {"smtp": 25, "smtps": 465}


@dataclasses.dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where to send and how to speak to it. `tls`: from the first byte, or by STARTTLS always, when offered, never."""

    host: str
    port: int
    tls: Literal["implicit", "required", "offered", "never"] = "offered"
    user: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)

    @property
    def label(self) -> str:
        return f"{self.host}:{self.port}"


def read_smtp_url(url: str | None) -> SmtpServer:
    """Read POSTRIDER_SMTP_URL. InputError names what is wrong with it, never the URL: it may hold a password."""
    if not url or not url.strip():
        raise InputError(f"POSTRIDER_SMTP_URL: found nothing, and the channel is smtp; allowed: {ALLOWED}")
    try:
        parts = urlsplit(url.strip())
        port, options = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise _wrong("a port or an option that cannot be read") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise _wrong("another scheme")
    if not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise _wrong("no host" if not parts.hostname else "a path")
    if (parts.username is None) != (parts.password is None):
        raise _wrong("a user without a password, or the reverse")
    match parts.scheme, options:
        case "smtps", {**rest} if not rest:
            tls = "implicit"
        case "smtp", {**rest} if not rest:
            tls = "offered"
        case "smtp", {"starttls": [("required" | "offered" | "never") as tls], **rest} if not rest:
            pass
        case _:
            raise _wrong("an option it does not know")
    return SmtpServer(
        parts.hostname,
        port or DEFAULT_PORTS[parts.scheme],
        tls,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


def _wrong(found: str) -> InputError:
    return InputError(f"POSTRIDER_SMTP_URL: found {found}; allowed: {ALLOWED}")
