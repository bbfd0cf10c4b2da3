"""How a refusal looks: exit code 2, one line, nothing done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dagster_project.home import Home

Answer = tuple[int, str, str]


def _refused(answer: Answer, *words: str) -> None:
    """Exit code 2, one line, and these words in it."""
    code, out, err = answer
    lines = [line for line in err.splitlines() if line.startswith("postrider: ")]
    assert code == 2, (out, err)
    assert len(lines) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0], lines[0]


def _untouched(home: Home) -> None:
    """No message was planned and no mail written."""
    assert list(home.outbox.rglob("*.eml")) == []
    if (home.path / "ledger.sqlite").exists():
        with home.ledger() as ledger:
            assert ledger.messages() == []


@pytest.fixture
def refused() -> Callable[..., None]:
    """Asserts that an answer of the command line is a refusal which holds these words."""
    return _refused


@pytest.fixture
def untouched() -> Callable[[Home], None]:
    """Asserts that nothing was planned or written in a home."""
    return _untouched
