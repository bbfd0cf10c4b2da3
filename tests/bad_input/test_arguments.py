"""Wrong arguments: which, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.home import Home

pytestmark = pytest.mark.slow  # each reads the dbt project anew

Answer = tuple[int, str, str]
Call = Callable[..., Answer]
Refused = Callable[..., None]
Untouched = Callable[[Home], None]
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["run", "--source", "salesforce"], ["salesforce", "demo, yammer"], id="unknown pack"),
        pytest.param(["run", "--as-of", "yesterday"], ["--as-of", "yesterday", "ISO 8601"], id="no time"),
        pytest.param(["run", "--as-of", "2026-02-30T09:00:00Z"], ["--as-of", "2026-02-30"], id="no such day"),
        pytest.param(["run", "--as-of", ""], ["--as-of", "ISO 8601"], id="an empty time"),
        pytest.param(["run", "--as-of", "2026-09-01T09:00:00+25:00"], ["--as-of", "+25:00"], id="no such zone"),
        pytest.param(["run", "--as-of", "9999-12-31T23:59:59-05:00"], ["9999", "1970 to 2199"], id="end of time"),
        pytest.param(["run", "--as-of", "0001-01-01"], ["0001", "1970 to 2199"], id="beginning of time"),
        pytest.param(["explain", "--user", ""], ["no tick"], id="nobody"),
        pytest.param(["demo", "--users", "-5"], ["users", "-5", "1 to"], id="less than nobody"),
        pytest.param(["demo", "--users", "many"], ["--users", "integer"], id="no number"),
        pytest.param(["run", "--threads", "4"], ["--threads"], id="unknown option"),
        pytest.param(["send"], ["send"], id="unknown command"),
        pytest.param(["pause", "winback", "--reason", "", "--by", "ana"], ["reason"], id="no reason"),
        pytest.param(["pause", "winback", "--reason", "x", "--by", " "], ["--by"], id="no name"),
        pytest.param(["run", "--data", "nowhere"], ["nowhere", "no such folder"], id="missing folder"),
        pytest.param(["demo", "--users", "0"], ["users", "0", "1 to"], id="nobody"),
        pytest.param(["demo", "--days", "3"], ["days", "3", "14 to"], id="too few days"),
        pytest.param(
            ["pause", "nonsense", "--reason", "x", "--by", "ana"],
            ["nonsense", "allowed are churn_risk"],
            id="unknown campaign",
        ),
        pytest.param(["preview", "nonsense"], ["nonsense", "allowed are churn_risk"], id="unknown template"),
        pytest.param(["preview"], ["neither", "--all"], id="preview of what"),
        pytest.param(["preview", "welcome", "--all"], ["both", "--all"], id="preview of one and of all"),
        pytest.param(["explain", "--user", "u1"], ["no tick", "postrider run"], id="nothing to explain yet"),
        pytest.param(["explain", "--campaign", "winback"], ["--user", "--summary"], id="explain whom"),
        pytest.param(["explain", "--summary"], ["--summary", "--campaign"], id="summary of what"),
        pytest.param(["review", "approve", "abc", "--by", "ana"], ["abc", "review list"], id="unknown draft"),
        pytest.param(["review", "show", "abc"], ["abc", "no draft in review"], id="unknown message"),
    ],
)
def test_a_wrong_argument_is_named(
    call: Call,
    make_home: Callable[..., Home],
    arguments: list[str],
    words: list[str],
    refused: Refused,
    untouched: Untouched,
) -> None:
    """Which argument, what it was, what would do."""
    home = make_home()

    refused(call(*arguments), *words)
    untouched(home)
