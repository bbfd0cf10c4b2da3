"""Links are asked for as a reader's browser would, on a real server."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from dagster_project.adapters.link_status import dead_links


class _Pages(http.server.BaseHTTPRequestHandler):
    def _answer(self) -> None:
        status = {"/": 200, "/moved": 302, "/to-a-file": 302, "/broken": 500, "/no-head": 405}.get(self.path, 404)
        if self.path == "/no-head" and self.command == "GET":
            status = 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/" if self.path == "/moved" else "file:///etc/hostname")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = _answer  # noqa: N815  the names that the standard library asks for

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_link_that_answers_is_no_finding(pages: str) -> None:
    """Also by another page, and where a server knows no HEAD."""
    assert dead_links([f"{pages}/", f"{pages}/moved", f"{pages}/no-head"]) == {}


def test_a_dead_link_is_told_with_what_it_answered(pages: str) -> None:
    """A redirect to a file of this machine isn't followed; a port that nobody listens to is a dead link, too."""
    dead = dead_links([f"{pages}/", f"{pages}/gone", f"{pages}/broken", f"{pages}/to-a-file", "http://127.0.0.1:1/"])

    assert dead.pop(f"{pages}/gone") == "404 Not Found"
    assert dead.pop(f"{pages}/broken") == "500 Internal Server Error"
    assert "file" in dead.pop(f"{pages}/to-a-file")
    assert "refused" in dead.pop("http://127.0.0.1:1/")
    assert dead == {}


def test_only_addresses_of_the_web_are_asked() -> None:
    assert dead_links(["file:///etc/hostname"]) == {"file:///etc/hostname": "no address of the web"}
