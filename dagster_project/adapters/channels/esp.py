"""Sending by a provider's HTTP API, through django-anymail: which providers, what each needs, what each outcome means.

The library is loaded when the channel is entered, so that whoever sends otherwise need not have it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import ssl
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from dagster_project.adapters.channels.base import Receipt, SingleTransport, transport_of
from dagster_project.adapters.channels.http_post import (
    CONFLICT,
    NotSentError,
    Timeouts,
    is_about_more,
    is_said_of_key,
    outcome_of,
    read_endpoint,
)
from dagster_project.adapters.channels.reading import Parts, UnsuitableError, read_parts
from dagster_project.adapters.channels.signed_post import scrubbed
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Outcome, Via
from dagster_project.lifecycle.mime import Built

if TYPE_CHECKING:
    from dagster_project.adapters.channels.esp_anymail import Mailer

Phase = Literal["build", "write", "reply"]  # nothing written; not all of it; the provider had all of it

BAD_REQUEST = 400
TAKEN: Final = frozenset({"sent", "queued"})  # anymail's words for a recipient
REFUSED: Final = frozenset({"invalid", "rejected"})  # "failed" is also what it says of a reply without the recipient

# How long a provider remembers a key, as documented. Brevo says 15 minutes in one place and 30 in another.
IDEMPOTENCY: Mapping[str, timedelta] = MappingProxyType({"resend": timedelta(hours=24), "brevo": timedelta(minutes=15)})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Esp:
    """One provider, as anymail and its own documentation describe it."""

    needs: tuple[str, ...] = ("api_key",)
    may_have: tuple[str, ...] = ()
    keeps_message_id: bool = False  # others put their own in its place, or refuse the message for it
    id_goes_in: Literal["metadata", "tags"] = "metadata"  # comes back with every event about the message
    fills_in: tuple[str, ...] = ()  # what it takes for a place to fill in, wherever it stands: never sent there


ESPS: Mapping[str, Esp] = MappingProxyType(
    {
        "amazon_ses": Esp(needs=("region_name",), may_have=("aws_access_key_id", "aws_secret_access_key")),
        "brevo": Esp(fills_in=("{{", "{%")),
        "mailersend": Esp(needs=("api_token",), id_goes_in="tags", fills_in=("{{", "{$")),
        "mailgun": Esp(may_have=("sender_domain",), keeps_message_id=True, fills_in=("%recipient",)),
        "mailjet": Esp(needs=("api_key", "secret_key")),
        "mandrill": Esp(fills_in=("*|",)),
        "postmark": Esp(needs=("server_token",), may_have=("message_stream",), keeps_message_id=True),
        "resend": Esp(),
        "scaleway": Esp(needs=("secret_key", "project_id"), may_have=("region",)),
        "sendgrid": Esp(keeps_message_id=True),
        "sparkpost": Esp(may_have=("subaccount",), fills_in=("{{",)),
    }
)

# Mandrill answers 500 to whatever it refuses. These names say that nothing was accepted. True: nor would the next one be.
MANDRILL_REFUSALS: Mapping[str, bool] = MappingProxyType(
    {"Invalid_Key": True, "PaymentRequired": True, "Unknown_Subaccount": True, "ValidationError": False}
)
MIN_SECRET_CHARS = 8  # shorter values of settings are names, which may stand in any reply
_ADDRESS_LIKE = re.compile(r"""[^\s"'<>(),;:]*(?:@|%40|\\u0040)[^\s"'<>(),;:]*""", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Mail:
    """What the library is asked to send: the parts, and what this provider is told besides."""

    parts: Parts
    recipient: str
    message_id: str
    headers: Mapping[str, str]
    http_headers: Mapping[str, str]
    extra: Mapping[str, str]  # fields of the provider's own
    id_goes_in: Literal["metadata", "tags"]


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """How far one attempt came. `statuses` are anymail's, for the one recipient."""

    phase: Phase
    error: Exception | None = None
    status: int | None = None  # HTTP's
    reason: str = ""
    body: bytes = b""
    was_whole: bool = True
    is_unreachable: bool = False
    statuses: frozenset[str] = frozenset()
    provider_id: str | None = None


def classify(error: Exception | None, phase: Phase, status: int | None = None, *, was_whole: bool = True) -> Outcome:
    """What an exception in a phase means. A status decides where there was one; after a 2xx only the reply's words do.

    Before anything was written the provider cannot have it. UnsuitableError: it never will.
    """
    if status is not None:
        outcome = outcome_of(status, was_whole=was_whole)
        return outcome if error is None or outcome != "sent" else "unknown"
    if phase == "reply":
        return "unknown"
    return "rejected" if isinstance(error, UnsuitableError) else "not_sent"


def read_esp_settings(listed: str) -> dict[str, str]:
    """Read `api_key=…, project_id=…`: names and values, by comma or space. InputError without a value in it."""
    settings: dict[str, str] = {}
    for entry in re.split(r"[\s,]+", listed.strip()):
        name, equals, value = entry.partition("=")
        if entry and not (equals and name and value):
            raise InputError("POSTRIDER_ESP_SETTINGS: found an entry without a name or a value; allowed: name=value, …")
        if name in settings:
            raise InputError(f"POSTRIDER_ESP_SETTINGS: found {name} twice; allowed: each name once")
        if entry:
            settings[name] = value
    return settings


class EspChannel(SingleTransport):
    """One provider over one connection, one message per request. Retries and redirects are off."""

    in_flight = 1  # each message in doubt needs a look at the provider's log

    def __init__(
        self,
        esp: str,
        settings: Mapping[str, str],
        *,
        api_url: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """`settings` by anymail's names, as ESPS lists them. `api_url` replaces the provider's own: another region, or a
        server of one's own. Raises InputError for what is unknown, missing or not installed; never with a value in it.
        """
        self._esp = _read_esp(esp)
        self._settings = _read_settings(esp, self._esp, settings)
        self._name = esp
        self._api_url = api_url
        if api_url is not None:
            read_endpoint(api_url.replace("{region}", "region"), "POSTRIDER_ESP_URL")
        self._tls = tls
        self._timeouts = timeouts or Timeouts()
        self._mailer: Mailer | None = None
        self._transport = transport_of(esp, url=api_url or "", account=self._settings, key=self._key("m"))

    @property
    def name(self) -> str:
        return self._name

    @property
    def key_lifetime(self) -> timedelta | None:
        return IDEMPOTENCY.get(self._name)

    def via(self, message_id: str) -> Via:
        return Via(self._transport, self._key(message_id))

    def _key(self, message_id: str) -> str | None:
        match self._name:
            case "resend":
                return message_id
            case "brevo":  # must be a UUID
                return str(uuid.uuid5(uuid.NAMESPACE_URL, f"postrider:{message_id}"))
            case _:
                return None

    def __enter__(self) -> Self:
        from dagster_project.adapters.channels import esp_anymail

        try:
            self._mailer = esp_anymail.open_mailer(
                self._name, self._settings, api_url=self._api_url, tls=self._tls, timeouts=self._timeouts
            )
        except NotSentError as error:
            raise InputError(f"POSTRIDER_ESP: {self._name}: {error}; allowed: a provider that can be reached") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._mailer is not None:
            self._mailer.close()
        self._mailer = None

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        """One after the other, each as its turn comes. Never raises for trouble in delivery."""
        return ((built, self.send(built)) for built in mails)

    def send(self, built: Built) -> Receipt:
        """One message by itself: try once."""
        if self._mailer is None:
            raise RuntimeError("an EspChannel is opened by `with`")
        try:
            attempt = self._mailer.send(self._mail(built))
        except UnsuitableError as error:
            attempt = Attempt("build", error)
        return self._receipt(attempt, built)

    def _mail(self, built: Built) -> Mail:
        parts = read_parts(built)
        for mark in self._esp.fills_in:
            if any(mark in part for part in (parts.subject, parts.text, parts.html)):
                raise UnsuitableError(f"holds {mark}, which {self._name} would fill in")
        headers, http_headers, extra = dict(parts.headers), {}, {}
        key = self._key(built.message_id)
        if self._esp.keeps_message_id:
            headers["Message-ID"] = built.header_message_id
        match self._name:
            case "postmark":
                headers["X-PM-KeepID"] = "true"  # or it replaces the Message-ID
            case "resend":
                http_headers["Idempotency-Key"] = str(key)
            case "brevo":  # stands among the message's headers
                headers["idempotencyKey"] = str(key)
            case "mailersend":  # sets both headers itself when told the link; any other header costs a larger plan
                headers.pop("Auto-Submitted", None)
                headers.pop("List-Unsubscribe-Post", None)
                if link := headers.pop("List-Unsubscribe", None):
                    extra["list_unsubscribe"] = link.strip("<>")
            case _:
                pass
        return Mail(parts, built.rcpt_to, built.message_id, headers, http_headers, extra, self._esp.id_goes_in)

    def _receipt(self, attempt: Attempt, built: Built) -> Receipt:
        outcome = classify(attempt.error, attempt.phase, attempt.status, was_whole=attempt.was_whole)
        if attempt.status is None:
            is_channel_down = attempt.is_unreachable or outcome == "unknown"
            return Receipt(outcome, self._detail(_reason(attempt), built), is_channel_down=is_channel_down)
        detail = f"reply: {attempt.status} {attempt.reason}"
        is_channel_down = is_about_more(attempt.status)
        if self._is_taken_before(attempt):
            outcome, is_channel_down = "unknown", False
        elif self._name == "mandrill" and (name := str(_json(attempt.body).get("name"))) in MANDRILL_REFUSALS:
            outcome, is_channel_down = "rejected", MANDRILL_REFUSALS[name]
        elif outcome == "sent":  # and the library understood the rest
            outcome = _by_words(attempt.statuses)
        if outcome == "sent":
            return Receipt(outcome, self._detail(detail, built), attempt.provider_id, holds_for_key=True)
        return Receipt(
            outcome,
            self._detail(f"{detail} {_words(attempt.body)}", built),
            is_channel_down=is_channel_down,
            holds_for_key=outcome == "rejected" and is_said_of_key(attempt.status, was_whole=attempt.was_whole),
        )

    def _detail(self, words: str, built: Built) -> str:
        """Fit for the ledger: no address, no key, whatever the provider repeats of the request."""
        secrets = [value for value in self._settings.values() if len(value) >= MIN_SECRET_CHARS]
        return scrubbed(_ADDRESS_LIKE.sub("…", words), built.rcpt_to, *secrets)

    def _is_taken_before(self, attempt: Attempt) -> bool:
        """Does the provider say that it knows this key already? Then an earlier attempt arrived, and its fate is open."""
        match self._name:
            case "resend":
                return attempt.status == CONFLICT
            case "brevo":
                return attempt.status == BAD_REQUEST and _json(attempt.body).get("code") == "duplicate_parameter"
            case _:
                return False


def _read_esp(name: str) -> Esp:
    esp = ESPS.get(name)
    has_boto = importlib.util.find_spec("boto3") is not None
    offered = ", ".join(sorted(known for known in ESPS if has_boto or known != "amazon_ses"))
    if esp is None:
        raise InputError(f"POSTRIDER_ESP: found {name!r}; allowed: {offered}")
    if name == "amazon_ses" and not has_boto:
        raise InputError(
            f"POSTRIDER_ESP: found {name!r}, and boto3 is not installed; allowed: with boto3 it, or {offered}"
        )
    if importlib.util.find_spec("anymail") is None:
        raise InputError(
            f"POSTRIDER_ESP: found {name!r}, and django-anymail is not installed; allowed: with it, {offered}"
        )
    return esp


def _read_settings(name: str, esp: Esp, settings: Mapping[str, str]) -> dict[str, str]:
    allowed = ", ".join([*esp.needs, *[f"[{option}]" for option in esp.may_have]])
    for found in settings:
        if found not in esp.needs + esp.may_have:
            raise InputError(f"POSTRIDER_ESP_SETTINGS: found {found!r}, and the ESP is {name}; allowed: {allowed}")
    for needed in esp.needs:
        if not settings.get(needed, "").strip():
            raise InputError(f"POSTRIDER_ESP_SETTINGS: found no {needed}, and the ESP is {name}; allowed: {allowed}")
    return dict(settings)


def _by_words(statuses: frozenset[str]) -> Outcome:
    """One recipient may have two: the address as the provider writes it, and as anymail misses it in the reply."""
    if statuses & TAKEN:
        return "sent"
    return "rejected" if statuses and statuses <= REFUSED else "unknown"


def _json(body: bytes) -> dict[str, object]:
    """A JSON object, or nothing."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _words(body: bytes) -> str:
    """What a provider says about a refusal: JSON on one line. A page of HTML says nothing that helps."""
    content = _json(body)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) if content else ""


def _reason(attempt: Attempt) -> str:
    """An exception without what the library adds to it: the request with its addresses and the key."""
    error = attempt.error
    words = " ".join(str(error.args[0]).split()) if error is not None and error.args else type(error).__name__
    return words if words.startswith(("connect: ", "write: ", "reply: ")) else f"{attempt.phase}: {words}"
