"""The inspectors themselves: each planted mistake is found once, a good mail not at all; what is missing is named."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.adapters.inspecting import (
    Inspectors,
    MissingToolError,
    find_spamassassin,
    read_declared,
    read_samples,
    spam_scores,
)
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.inspection.specimen import Finding, Specimen
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime import build

ROOT = Path(__file__).parent.parent.parent
HTML = '<!doctype html><html lang="en"><head><title>T</title></head><body><main><h1>Hello</h1>{}</main></body></html>'
MJML = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
GOOD = "<mj-text>Hello</mj-text>"
PLANTED = {
    "good": (GOOD, "<p>Hello</p>"),
    "unknown": ("<mj-txt>Hello</mj-txt>", "<p>Hello</p>"),
    "attribute": ('<mj-text bogus="1">Hello</mj-text>', "<p>Hello</p>"),
    "white": (GOOD, '<p style="color: #fff; background-color: #fff">Hello</p>'),
    "pale": (GOOD, '<p style="color: #999; background-color: #fff">Hello</p>'),
    "dark": (GOOD, "<style>@media (prefers-color-scheme: dark) { p { color: #222; background-color: #111 } }</style><p>Hello</p>"),
    "image": (GOOD, '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'),
    "remote": (GOOD, '<img alt="" src="https://pixel.example/1.gif">'),
    "flex": (GOOD, '<div style="display: flex; gap: 1px">Hello</div>'),
}  # fmt: skip


def specimen(name: str, mjml: str, html: str) -> Specimen:
    draft = Draft(name, "template", "template", None, "en", "S", "P", HTML.format(html), "T", None, {})
    return Specimen(name, "default", name, draft, MJML.format(mjml))


@pytest.fixture(scope="module")
def inspectors() -> Inspectors:
    try:
        return Inspectors(ROOT / "inspectors")
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def found(inspectors: Inspectors) -> dict[str, list[Finding]]:
    """All documents in one run: it is the start that takes its time. What every document shows is left out."""
    answer = inspectors.look([specimen(name, *parts) for name, parts in PLANTED.items()], ["gmail.ios"])
    usual = {finding.code for finding in answer["good.default.en"] if finding.tool == "caniemail"}
    return {
        name.partition(".")[0]: [one for one in findings if one.tool != "caniemail" or one.code not in usual]
        for name, findings in answer.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("good", []),
        ("unknown", [("mjml", "mj-txt", "in line 1")]),
        ("attribute", [("mjml", "mj-text", "in line 1")]),
        ("white", [("axe", "color-contrast", "in light"), ("axe", "color-contrast", "in dark")]),
        ("pale", [("axe", "color-contrast", "in light"), ("axe", "color-contrast", "in dark")]),
        ("dark", [("axe", "color-contrast", "in dark")]),
        ("image", [("axe", "image-alt", "in light"), ("axe", "image-alt", "in dark")]),
    ],
)
def test_each_mistake_is_found_and_nothing_else(
    found: dict[str, list[Finding]], name: str, told: list[tuple[str, str, str]]
) -> None:
    """In light and in dark for themselves. Words in the very colour of their ground, which axe leaves to people, count."""
    assert [(one.tool, one.code, one.where) for one in found[name] if one.tool != "caniemail"] == told


@pytest.mark.slow
def test_a_client_s_gap_is_named_with_the_feature(found: dict[str, list[Finding]]) -> None:
    assert "display:flex" in {one.code for one in found["flex"] if one.found.startswith("gmail.ios")}


@pytest.mark.slow
def test_what_a_mail_would_fetch_is_found_and_not_fetched(found: dict[str, list[Finding]]) -> None:
    assert {(one.tool, one.found) for one in found["remote"] if one.tool == "remote"} == {
        ("remote", "https://pixel.example/1.gif")
    }


def message(name: str, subject: str, words: str) -> bytes:
    return build(
        name,
        sender="Shop <hello@shop.example>",
        to_address="ana@mail.example",
        subject=subject,
        html=f"<html><body><p>{words}</p></body></html>",
        text=f"{words}\n",
        unsubscribe_url=None,
        date=datetime(2026, 9, 1),
        sending_domain="shop.example",
    ).raw


@pytest.mark.slow
def test_a_spammer_s_sentence_scores_and_each_score_is_its_own_mail_s() -> None:
    """SpamAssassin answers in an order of its own."""
    try:
        program = find_spamassassin()
    except MissingToolError as error:
        pytest.skip(str(error))
    spam = (
        "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"  # scores 1000 everywhere, by agreement
    )
    quiet = {
        f"quiet{number}": message(f"quiet{number}", "Your report", "From Monday on it is there.") for number in range(3)
    }

    scores = spam_scores(program, {"loud": message("loud", "Your report", spam)} | quiet)

    assert scores["loud"][0] > 900
    assert "GTUBE" in scores["loud"][1]
    assert all(scores[name][0] < 2 for name in quiet)


def test_a_tool_that_is_not_there_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingToolError, match="SpamAssassin: found none on the path, allowed: one; on Debian: apt-get"
    ):
        find_spamassassin()
    with pytest.raises(MissingToolError, match="Chromium: found none on the path"):
        Inspectors(ROOT / "inspectors")
    (tmp_path / "chromium").write_text("#!/bin/sh\n")
    (tmp_path / "chromium").chmod(0o755)
    with pytest.raises(
        MissingToolError, match="node_modules: found no such folder, allowed: what `make inspectors` inst"
    ):
        Inspectors(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("clients: []", "templates/inspection.yml: clients: found"),
        ("clients: [gmail.*]", "templates/inspection.yml: max_spam_score: found"),
        ("clients: [gmail.*]\nmax_spam_score: low", "templates/inspection.yml: max_spam_score: found 'low', allowed: "),
        (
            "clients: [gmail.*]\nmax_spam_score: 2\nignore: all",
            "templates/inspection.yml: ignore: found 'all', allowed: ",
        ),
    ],
)
def test_a_mistake_in_what_is_declared_is_named_with_its_key(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "templates").mkdir()
    with pytest.raises(InputError, match=r"templates/inspection\.yml: found No such file or directory, allowed"):
        read_declared(tmp_path)
    (tmp_path / "templates/inspection.yml").write_text(content)

    with pytest.raises(InputError) as refused:
        read_declared(tmp_path)

    assert str(refused.value).startswith(words)


def test_samples_are_there_or_not_and_days_are_text(tmp_path: Path) -> None:
    """As facts come from the warehouse."""
    (tmp_path / "templates").mkdir()
    assert read_samples(tmp_path) == {}
    file = tmp_path / "templates/samples.yml"
    file.write_text("ends_on: 2026-09-01\nseats: 3\n")
    assert read_samples(tmp_path) == {"ends_on": "2026-09-01", "seats": 3}
    file.write_text("- a\n")
    with pytest.raises(InputError, match=r"templates/samples\.yml: found list, allowed: a value for each fact"):
        read_samples(tmp_path)
