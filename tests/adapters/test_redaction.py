"""The patterns are a library's, asked without a language model and without the network."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.adapters.redaction import open_patterns
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.redaction import Find, redact

ROOT = Path(__file__).parents[2]
NEEDED = "templates/emails/winback/default/template.yml: facts.ticket_subject.to_model: found redact"


@pytest.fixture
def patterns(monkeypatch: pytest.MonkeyPatch) -> Find:
    """The library's, on a machine whose network can't be reached."""
    pytest.importorskip("presidio_analyzer", reason="the extra pii is not installed")

    def refuse(*arguments: object) -> None:
        raise OSError(f"nobody may be called: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return open_patterns("a test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to jane@mail.example.com please", "write to [email] please"),
        ("see https://www.acme.io/a?b=c for it", "see [link] for it"),
        ("the page acme.io/status is down", "the page [link] is down"),
        ("call 905-674-3793 or +41 44 668 18 00", "call [phone] or [phone]"),
        ("card 4111 1111 1111 1111 was refused", "card [card] was refused"),
        ("pay to GB29NWBK60161331926819", "pay to [account]"),
        ("blocked from 192.168.0.17", "blocked from [address]"),
        ("the export of jane is empty", "the export of jane is empty"),
    ],
)
def test_what_has_a_form_of_its_own_is_found_by_its_form(patterns: Find, text: str, left: str) -> None:
    """Each has its token, and a name in small letters that nobody knows is not found: the table of the docs says how often."""
    assert redact(text, (), patterns) == left


def test_without_the_extra_the_fact_that_needs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; nothing passes unredacted."""
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)

    with pytest.raises(
        InputError, match=rf"^{re.escape(NEEDED)}, which needs presidio-analyzer; allowed: .*postrider\[pii\]"
    ):
        open_patterns("templates/emails/winback/default/template.yml: facts.ticket_subject.to_model")


def redacting(project: Path) -> None:
    """The project's winback quotes what somebody wrote to support."""
    file = project / "templates" / "emails" / "winback" / "default" / "template.yml"
    file.write_text(
        file.read_text().replace("  weeks_away:", "  ticket_subject: {type: text, to_model: redact}\n  weeks_away:", 1)
    )


@pytest.mark.slow
def test_a_template_that_redacts_is_refused_before_a_tick_where_nothing_can_redact(
    make_home: Callable[..., Home],
    project: Path,
    call: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`check` says no, `run` and its plan end with one line and exit code 2, and nothing was planned."""
    redacting(project)
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    home = make_home(project=project)

    assert [line for line in home.template_problems() if line.startswith(NEEDED)]
    for command in (["run"], ["run", "--plan"]):
        code, _, err = call(*command)
        assert code == 2
        assert len([line for line in err.splitlines() if line.startswith(f"postrider: {NEEDED}")]) == 1, err
    assert not home.outbox.exists()
