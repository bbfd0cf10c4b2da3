"""django-anymail without a Django project, on a connection of our own. The one place that knows either library."""

from __future__ import annotations

import io
import ssl
import threading
import warnings
from collections.abc import Mapping
from email.errors import MessageError
from email.headerregistry import Address
from typing import Any, Protocol

import requests
import requests.adapters
from anymail.exceptions import (
    AnymailConfigurationError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailSerializationError,
    AnymailUnsupportedFeature,
    AnymailWarning,
)
from anymail.utils import parse_address_list
from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives, get_connection
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from dagster_project.adapters.channels.esp import TAKEN, Attempt, Mail, Phase
from dagster_project.adapters.channels.http_post import (
    NoReplyError,
    NotSentError,
    Poster,
    Reply,
    Timeouts,
    read_endpoint,
)
from dagster_project.adapters.channels.reading import UnsuitableError
from dagster_project.lifecycle.errors import InputError

# What anymail says of a message that this provider can never carry
_UNSUITABLE = (AnymailUnsupportedFeature, AnymailInvalidAddress, AnymailSerializationError)
# botocore's words for: nothing was written
_BOTO_NOT_WRITTEN = frozenset(
    {
        "ConnectTimeoutError",
        "CredentialRetrievalError",
        "EndpointConnectionError",
        "NoCredentialsError",
        "NoRegionError",
        "ParamValidationError",
        "PartialCredentialsError",
        "ProxyConnectionError",
    }
)
_configuring = threading.Lock()


class Mailer(Protocol):
    """An opened provider."""

    def send(self, mail: Mail) -> Attempt:
        """Try once. Raises UnsuitableError when the library cannot put the message as it is."""
        ...

    def close(self) -> None: ...


def open_mailer(
    esp: str, settings: Mapping[str, str], *, api_url: str | None, tls: ssl.SSLContext | None, timeouts: Timeouts
) -> Mailer:
    """Raises InputError for settings that cannot be used, NotSentError when the provider cannot be reached."""
    configure_django()
    if esp == "amazon_ses":
        return _SesMailer(settings, api_url, timeouts)
    return _HttpMailer(esp, settings, api_url, tls, timeouts)


def configure_django() -> None:
    """Django's settings exist once per process, and may be set only once: ours are few, and whoever was first wins."""
    with _configuring:
        if not django_settings.configured:
            # logging is left alone: Django would set up its own, and its default mails to administrators
            django_settings.configure(INSTALLED_APPS=["anymail"], ANYMAIL={}, USE_TZ=True, LOGGING_CONFIG=None)


def _backend(esp: str, options: Mapping[str, Any]) -> Any:
    """An anymail backend that takes nothing from Django's settings but what is in `options`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnymailWarning)  # that it tests SendGrid no longer
            backend: Any = get_connection(
                f"anymail.backends.{esp}.EmailBackend",
                ignore_unsupported_features=False,
                ignore_recipient_status=False,
                debug_api_requests=False,  # it prints the key
                idna_encoder="none",  # addresses are in wire form already
                **options,
            )
    except AnymailConfigurationError as error:
        raise InputError(f"POSTRIDER_ESP_SETTINGS: {_first_line(error)}; allowed: what {esp} needs") from None
    backend.send_defaults = {}
    return backend


def _message(mail: Mail, backend: Any) -> Any:
    """The message as anymail takes it. Raises UnsuitableError when it would read another address than ours."""
    parts = mail.parts
    try:
        sender = str(Address(parts.sender_name, addr_spec=parts.sender_address))
        read = [
            [(address.display_name, address.addr_spec) for address in parse_address_list([line])]
            for line in (sender, mail.recipient)
        ]
    except (AnymailInvalidAddress, MessageError, ValueError):
        raise UnsuitableError("an address that anymail cannot read") from None
    if read != [[(parts.sender_name, parts.sender_address)], [("", mail.recipient)]]:
        raise UnsuitableError("an address that anymail reads as another one")
    message: Any = EmailMultiAlternatives(
        parts.subject, parts.text, sender, [mail.recipient], headers=dict(mail.headers), connection=backend
    )
    message.attach_alternative(parts.html, "text/html")
    if mail.id_goes_in == "tags":
        message.tags = [mail.message_id]
    else:
        message.metadata = {"message_id": mail.message_id}
    if mail.extra:
        message.esp_extra = dict(mail.extra)
    return message


def _recipient_status(message: Any) -> tuple[frozenset[str], str | None]:
    """Anymail's words for the one recipient, and the provider's id: of whom it took, when there are several."""
    found = sorted(message.anymail_status.recipients.values(), key=lambda status: status.status not in TAKEN)
    return frozenset(str(status.status) for status in found), found[0].message_id if found else None


class _OnePost(requests.adapters.BaseAdapter):
    """The session's only way out: one POST per message over our connection. It remembers how far the last one came."""

    def __init__(self, poster: Poster) -> None:
        super().__init__()
        self._poster = poster
        self.begin({})

    def begin(self, http_headers: Mapping[str, str]) -> None:
        """The next request is that of a new message, with these headers besides those of the library."""
        self.phase: Phase = "build"
        self.reply: Reply | None = None
        self.is_unreachable = False
        self._http_headers = http_headers

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - requests calls it so
        timeout: object = None,  # noqa: ARG002
        verify: object = True,  # noqa: ARG002
        cert: object = None,  # noqa: ARG002
        proxies: object = None,  # noqa: ARG002
    ) -> requests.Response:
        if self.phase != "build" or request.method != "POST":
            raise requests.RequestException("one message is one POST", request=request)
        body = request.body.encode() if isinstance(request.body, str) else bytes(request.body or b"")  # pyright: ignore[reportArgumentType]
        ours = {"host", "content-length", "connection", "accept-encoding"}
        headers = {name: _text(value) for name, value in request.headers.items() if name.lower() not in ours}
        self.phase = "write"
        try:
            reply = self._poster.post(request.path_url, headers | dict(self._http_headers), body)
        except NotSentError as error:
            self.is_unreachable = error.is_unreachable
            raise requests.ConnectionError(str(error), request=request) from error
        except NoReplyError as error:
            self.phase = "reply"
            raise requests.ConnectionError(str(error), request=request) from error
        self.phase, self.reply = "reply", reply
        if not reply.is_complete:  # some backends take an empty body for a yes
            raise requests.ConnectionError("reply: it broke off", request=request)
        return _response(request, reply)

    def close(self) -> None:
        self._poster.close()


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _response(request: requests.PreparedRequest, reply: Reply) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = reply.status, reply.reason
    response.headers = CaseInsensitiveDict(reply.headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.url, response.request = request.url or "", request
    response.raw = io.BytesIO(reply.body)
    return response


class _HttpMailer:
    """A provider whose backend speaks through `requests`."""

    def __init__(
        self,
        esp: str,
        settings: Mapping[str, str],
        api_url: str | None,
        tls: ssl.SSLContext | None,
        timeouts: Timeouts,
    ) -> None:
        self._backend = _backend(esp, {**settings, **({"api_url": api_url} if api_url else {})})
        poster = Poster(read_endpoint(self._backend.api_url, "POSTRIDER_ESP_URL"), tls=tls, timeouts=timeouts)
        poster.open()
        self._way_out = _OnePost(poster)
        self._backend.open()
        session: requests.Session = self._backend.session
        session.trust_env = False  # a .netrc would replace the key
        session.max_redirects = 0
        for prefix in list(session.adapters):
            del session.adapters[prefix]
        session.mount("http", self._way_out)

    def send(self, mail: Mail) -> Attempt:
        message = _message(mail, self._backend)
        way_out = self._way_out
        way_out.begin(mail.http_headers)
        failure: Exception | None = None
        try:
            self._backend.send_messages([message])
        except AnymailRecipientsRefused:
            pass  # the message's status says it
        except _UNSUITABLE as error:
            failure = UnsuitableError(_first_line(error)) if way_out.phase == "build" else error
        except Exception as error:  # noqa: BLE001 - also what reading an unexpected reply runs into: KeyError, TypeError
            failure = error.__cause__ if isinstance(error.__cause__, requests.RequestException) else error
        statuses, provider_id = (frozenset(), None) if failure else _recipient_status(message)
        reply = way_out.reply
        if reply is None:
            return Attempt(way_out.phase, failure, is_unreachable=way_out.is_unreachable)
        return Attempt(
            way_out.phase,
            failure,
            reply.status,
            reply.reason,
            reply.body,
            was_whole=reply.was_whole,
            statuses=statuses,
            provider_id=provider_id,
        )

    def close(self) -> None:
        self._backend.close()


class _SesMailer:
    """Amazon SES, whose backend speaks through boto3. How far it came is told by the kind of error."""

    def __init__(self, settings: Mapping[str, str], api_url: str | None, timeouts: Timeouts) -> None:
        if api_url:
            read_endpoint(api_url, "POSTRIDER_ESP_URL")
        client: dict[str, Any] = {
            **settings,
            "config": {
                "connect_timeout": timeouts.connect,
                "read_timeout": timeouts.reply,
                "retries": {"total_max_attempts": 1},
            },
        }
        self._backend = _backend(
            "amazon_ses", {"client_params": client | ({"endpoint_url": api_url} if api_url else {})}
        )
        self._backend.open()

    def send(self, mail: Mail) -> Attempt:
        message = _message(mail, self._backend)
        try:
            self._backend.send_messages([message])
        except _UNSUITABLE as error:
            raise UnsuitableError(_first_line(error)) from None
        except Exception as error:  # noqa: BLE001 - boto3 has more kinds than anymail wraps
            return _ses_failure(error)
        statuses, provider_id = _recipient_status(message)
        return Attempt("reply", None, 200, "OK", statuses=statuses, provider_id=provider_id)

    def close(self) -> None:
        self._backend.close()


def _ses_failure(error: Exception) -> Attempt:
    """With a status when Amazon answered; else the phase by botocore's class. A broken TLS session may be either."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = response.get("Error", {}).get("Code", "")
        return Attempt("reply", error, status, str(code))
    cause = error.__cause__ or error
    names = {kind.__name__ for kind in type(cause).__mro__}
    is_certificate = "SSLError" in names and "CERTIFICATE_VERIFY_FAILED" in str(cause)
    if names & _BOTO_NOT_WRITTEN or is_certificate:
        return Attempt("write", error, is_unreachable=True)
    return Attempt("reply", error)


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else type(error).__name__).splitlines()[0]
