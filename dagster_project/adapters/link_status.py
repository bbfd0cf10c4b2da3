"""Whether links answer. The one thing of an inspection that leaves the machine, and so is asked for by name."""

from __future__ import annotations

import urllib.request
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.error import HTTPError, URLError

_SECONDS = 10.0
_AT_ONCE = 8
_NO_HEAD = frozenset(
    {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)


def dead_links(links: Collection[str], seconds: float = _SECONDS) -> dict[str, str]:
    """link -> what it answered with, of those that don't lead to a page within `seconds`. Redirects are followed, to http and https only."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = threads.map(lambda link: _problem(opener, link, seconds), links)
        return {link: problem for link, problem in zip(links, answers, strict=True) if problem}


def _problem(opener: urllib.request.OpenerDirector, link: str, seconds: float) -> str | None:
    if not link.startswith(("http://", "https://")):
        return "no address of the web"
    for method in ("HEAD", "GET"):  # some servers answer no HEAD, or badly
        try:
            with opener.open(urllib.request.Request(link, method=method), timeout=seconds):  # noqa: S310  http and https only
                return None
        except HTTPError as error:
            if method == "GET" or error.code not in _NO_HEAD:
                return f"{error.code} {error.reason}"
        except (URLError, OSError) as error:
            return str(getattr(error, "reason", error))
        except ValueError as error:
            return str(error)
    return None
