"""What `simulate` refuses: one line, and the home is as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.home import Home

pytestmark = pytest.mark.slow

Answer = tuple[int, str, str]
FROM = ["simulate", "--from", "2026-08-30T09:00:00Z"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([*FROM, "--to", "2026-08-29"], ["--from 2026-08-30", "after --to"], id="the wrong way round"),
        pytest.param(["simulate", "--from", "soon"], ["--from", "soon", "ISO 8601"], id="no time"),
        pytest.param([*FROM, "--to", "2027-01-01"], ["--to 2027", "after the data", "2026-09-01"], id="the future"),
        pytest.param(["simulate", "--from", "1999-01-01", "--step", "30d"], ["--from 1999", "before the data"], id="before the data"),
        pytest.param(["simulate"], ["--from"], id="no beginning"),
        pytest.param([*FROM, "--step", "0d"], ["--step 0d", "above 0"], id="a step of nothing"),
        pytest.param([*FROM, "--step", "-1d"], ["--step -1d", "above 0"], id="a step back"),
        pytest.param([*FROM, "--step", "often"], ["--step often", "1d or 6h"], id="no step"),
        pytest.param([*FROM, "--campaign", "nonsense"], ["--campaign nonsense", "churn_risk"], id="unknown campaign"),
        pytest.param([*FROM, "--review", "skip"], ["--review skip", "approve, wait"], id="unknown review"),
        pytest.param([*FROM, "--model-price", "free"], ["--model-price free", "0.15/0.60"], id="no price"),
        pytest.param([*FROM, "--policy", "nowhere.yml"], ["nowhere.yml", "No such file"], id="no policy file"),
        pytest.param([*FROM, "--data", "nowhere"], ["nowhere", "no such folder"], id="no data"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_and_nothing_is_made(
    call: Callable[..., Answer],
    make_home: Callable[..., Home],
    arguments: list[str],
    words: list[str],
    refused: Callable[..., None],
) -> None:
    home = make_home()

    refused(call(*arguments), *words)

    assert [path for path in home.path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("welcome: [", ["fewer.yml:1", "valid YAML"], id="no YAML"),
        pytest.param("", ["fewer.yml", "found nothing"], id="empty"),
        pytest.param("nonsense: {priority: 3}", ["unknown campaign 'nonsense'", "welcome"], id="unknown campaign"),
        pytest.param("welcome: {prioritee: 3}", ["fewer.yml: welcome", "unknown key 'prioritee'", "priority"], id="unknown key"),
        pytest.param("welcome: {priority: 300}", ["welcome.priority", "300", "1 to 100"], id="out of bounds"),
        pytest.param("welcome: {variants: {loud: 1}}", ["loud"], id="unknown template"),
        pytest.param(
            "welcome: {sequence: {name: onboarding, step: 1, wait_days: 0, exit_when: is_tall}}",
            ["unknown column 'is_tall'"],
            id="unknown column",
        ),
        pytest.param("welcome: {value: 2 * height}", ["welcome", "value", "unknown column 'height'"], id="value of nobody"),
        pytest.param("welcome: {value: sum(mrr)}", ["fewer.yml: welcome.value", "'SUM(mrr)'"], id="value of all"),
    ],
)  # fmt: skip
def test_a_wrong_policy_file_is_named_with_what_is_wrong_in_it(
    call: Callable[..., Answer],
    make_home: Callable[..., Home],
    tmp_path: Path,
    text: str,
    words: list[str],
    refused: Callable[..., None],
) -> None:
    home = make_home()
    file = tmp_path / "fewer.yml"
    file.write_text(text)

    refused(call(*FROM, "--policy", file), *words)

    assert [path for path in home.path.rglob("*") if path.is_file()] == []


def test_a_policy_file_of_other_bytes_is_refused(
    call: Callable[..., Answer], make_home: Callable[..., Home], tmp_path: Path, refused: Callable[..., None]
) -> None:
    make_home()
    (tmp_path / "fewer.yml").write_bytes(b"\xff\xfe\x00")

    refused(call(*FROM, "--policy", tmp_path / "fewer.yml"), "fewer.yml", "UTF-8")
