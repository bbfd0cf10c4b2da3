"""The in-app inbox over HTTP: what the product's own pages ask, with a token that the product's server has given them.

    GET  /inbox?limit=20             {"messages": […], "unread": n}, the newest first
    POST /inbox/{message_id}/read    {"message_id": …}

Both want `Authorization: Bearer <token>`. No cookie is read or set, so no other site can act in somebody's name; and nothing here
is a page: a message's HTML is a string in JSON, which the client shows in a sandbox.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dagster_project.adapters.clock import utc_now, utc_text
from dagster_project.lifecycle.errors import InputError

INBOX_SALT = "postrider.inbox"  # one per purpose: a token for one thing opens nothing else
MAX_AGE = timedelta(hours=1)  # of a token; the product's server gives out another with each of its pages
MAX_AHEAD = timedelta(minutes=1)  # by which the clock that dated a token may be ahead of ours
DEFAULT_LIMIT, MAX_LIMIT = 20, 50  # messages in one answer, each of at most 256 kB and usually of 20
MAX_TOKEN_CHARS, MAX_USER_ID_CHARS = 4_096, 256
MAX_BODY_BYTES = 1_024  # some clients send `{}` or `null`; nothing in a body is looked at

_LIMIT = re.compile(r"[1-9][0-9]?", re.ASCII)
_MESSAGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_WORDS = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    500: "internal",
    503: "unavailable",
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Row(Protocol):
    """One message of an inbox. Times are UTC and naive."""

    @property
    def message_id(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def html(self) -> str: ...
    @property
    def cta_url(self) -> str | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def read_at(self) -> datetime | None: ...


class Inbox(Protocol):
    """One person's messages, the newest first, and how many of all that are there are unread."""

    @property
    def messages(self) -> Sequence[Row]: ...
    @property
    def unread(self) -> int: ...


def inbox_token(keys: Sequence[str], user_id: str, *, clock: Callable[[], datetime] = utc_now) -> str:
    """The token that opens this person's inbox, signed by the first of `keys`, which stand newest first.

    It is a password for as long as it lives: for the product's own server to make, and to hand to that person alone.
    InputError for keys or a user_id that cannot be used.
    """
    if not _is_usable(user_id):
        raise InputError(
            f"user_id: found {user_id[:40]!r}; allowed: 1 to {MAX_USER_ID_CHARS} characters of Unicode text"
        )
    token = _serializer(_checked(keys), clock()).dumps(user_id)
    return token if isinstance(token, str) else token.decode()


def read_inbox_token(token: str, keys: Sequence[str], *, max_age: timedelta, now: datetime) -> str | None:
    """Whose inbox the token opens; None when none of the keys signed it for this purpose, or its time is over."""
    if len(token) > MAX_TOKEN_CHARS:
        return None
    try:
        user_id, issued = _reader(tuple(keys)).loads(token, return_timestamp=True)
    except (BadData, ValueError):  # the second: half a surrogate pair
        return None
    age = now - issued.replace(tzinfo=None)
    is_in_time = -MAX_AHEAD <= age <= max_age
    return user_id if is_in_time and isinstance(user_id, str) and _is_usable(user_id) else None


def inbox_app(
    read: Callable[[str, int], Inbox],
    mark_read: Callable[[str, str], bool],
    keys: Sequence[str],
    *,
    max_age: timedelta = MAX_AGE,
    origins: Sequence[str] = (),
    clock: Callable[[], datetime] = utc_now,
) -> Starlette:
    """The ASGI app. `read(user_id, limit)` and `mark_read(user_id, message_id)` are called in threads, several at a time.

    `keys` sign tokens, newest first; all are accepted. Pages of other `origins` (`https://app.example.com`) may ask too; by
    default none. InputError for keys, age or origins that cannot be used.
    """
    if max_age <= timedelta(0):
        raise InputError(f"POSTRIDER_INBOX_TOKEN_MINUTES: found {max_age}; allowed: more than nothing")
    wrong = [origin for origin in origins if not _ORIGIN.fullmatch(origin)]
    if wrong:
        raise InputError(
            f"POSTRIDER_INBOX_ORIGINS: found {wrong[0]!r}; allowed: https://host[:port], each origin by its name"
        )
    endpoints = _Endpoints(read, mark_read, _checked(keys), max_age, clock)
    cross_origin = Middleware(
        CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["Authorization"]
    )
    app = Starlette(
        routes=[
            Route("/inbox", endpoints.list, methods=["GET"]),
            Route("/inbox/{message_id}/read", endpoints.mark, methods=["POST"]),
        ],
        middleware=[cross_origin] if origins else [],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False  # a redirect would carry the token wherever a Host header says
    return app


class _Endpoints:
    """What the two paths answer. Whatever the database or its rows do to us, the answer is a word."""

    def __init__(
        self,
        read: Callable[[str, int], Inbox],
        mark_read: Callable[[str, str], bool],
        keys: tuple[str, ...],
        max_age: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._read, self._mark_read = read, mark_read
        self._keys, self._max_age, self._clock = keys, max_age, clock

    async def list(self, request: Request) -> Response:
        user_id = self._user_id(request)
        given = request.query_params.getlist("limit")
        if len(given) > 1 or (given and not (_LIMIT.fullmatch(given[0]) and int(given[0]) <= MAX_LIMIT)):
            return _reply(400, {"error": f"limit: allowed: 1 to {MAX_LIMIT}"})
        limit = int(given[0]) if given else DEFAULT_LIMIT
        return await _answered(lambda: _told(self._read(user_id, limit)))

    async def mark(self, request: Request) -> Response:
        user_id = self._user_id(request)
        await _refuse_long_body(request)
        message_id = request.path_params["message_id"]
        if not _MESSAGE_ID.fullmatch(message_id):
            raise HTTPException(404)
        return await _answered(lambda: {"message_id": message_id} if self._mark_read(user_id, message_id) else None)

    def _user_id(self, request: Request) -> str:
        """Who asks. Only the header counts: what stands in an address is logged on its way."""
        given = request.headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        user_id = read_inbox_token(token.strip(), self._keys, max_age=self._max_age, now=self._clock())
        if user_id is None:
            raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return user_id


async def _answered(ask: Callable[[], Mapping[str, Any] | None]) -> Response:
    """The content as JSON; None is a 404. Whatever else happens is logged without its words: rows may stand in them."""

    def answer() -> Response:  # in the thread to its last byte: an inbox may be megabytes
        content = ask()
        return _reply(404) if content is None else _reply(200, content)

    try:
        return await run_in_threadpool(answer)
    except InputError as error:  # one line of ours
        _log.warning("inbox: %s", error)
        return _reply(503, headers={"Retry-After": "5"})
    except Exception as error:  # noqa: BLE001 - what passes here, the server logs with all it holds
        _log.error("inbox: %s", type(error).__name__)
        return _reply(500)


async def _refuse_long_body(request: Request) -> None:
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise HTTPException(413, headers={"Connection": "close"})
    except ClientDisconnect:
        raise HTTPException(400) from None


def _refused(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _reply(status, headers=getattr(error, "headers", None))


def _reply(status: int, content: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        content or {"error": _WORDS.get(status, "refused")},
        status_code=status,
        headers={**_HEADERS, **dict(headers or {})},
    )


def _told(inbox: Inbox) -> dict[str, Any]:
    messages = [
        {
            "message_id": row.message_id,
            "subject": row.subject,
            "text": row.text,
            "html": row.html,
            "cta_url": row.cta_url,
            "created_at": utc_text(row.created_at),
            "expires_at": utc_text(row.expires_at),
            "read_at": utc_text(row.read_at),
        }
        for row in inbox.messages
    ]
    return {"messages": messages, "unread": inbox.unread}


def _is_usable(user_id: str) -> bool:
    """Text that a database can compare: no NUL, no half of a surrogate pair."""
    return 0 < len(user_id) <= MAX_USER_ID_CHARS and not re.search("[\x00\ud800-\udfff]", user_id)


def _checked(keys: Sequence[str]) -> tuple[str, ...]:
    if not keys or not all(keys):
        raise InputError(f"keys: found {len(keys)}, or an empty one; allowed: at least one key, newest first")
    return tuple(keys)


class _DatedSigner(TimestampSigner):
    """Signs as of a given time; the library's own asks the machine's clock."""

    def __init__(self, *arguments: Any, issued_at: datetime, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._issued_at = int(issued_at.replace(tzinfo=UTC).timestamp())

    def get_timestamp(self) -> int:
        return self._issued_at


_SIGNED_BY: dict[str, Any] = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}


def _serializer(keys: tuple[str, ...], issued_at: datetime) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        list(reversed(keys)), salt=INBOX_SALT, signer=_DatedSigner, signer_kwargs={**_SIGNED_BY, "issued_at": issued_at}
    )


@functools.lru_cache(maxsize=16)
def _reader(keys: tuple[str, ...]) -> URLSafeTimedSerializer:
    # itsdangerous signs with the last key of a list and reads with all: ours are newest first
    return URLSafeTimedSerializer(list(reversed(keys)), salt=INBOX_SALT, signer_kwargs=_SIGNED_BY)
