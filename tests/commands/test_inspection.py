"""`check --templates`, `check --links` and `preview --all`: the templates that ship pass, a planted mistake doesn't."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.adapters.contact_sheet import WIDTH
from dagster_project.adapters.inspecting import MissingToolError
from dagster_project.commands.check import _mails
from dagster_project.commands.inspection import ask_links, inspect, open_tools
from dagster_project.commands.preview import preview_all
from dagster_project.commands.specimens import specimens
from dagster_project.home import Home
from dagster_project.lifecycle.lint.parts import MAX_HTML_BYTES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
WELCOME = "templates/emails/welcome/default"
UNUSED = """  - tool: caniemail
    features: ["<marquee> element"]
    reason: Nobody has written one for twenty years.
"""


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.fixture
def one_mail(project: Path) -> Path:
    """The project with one template in one locale: what takes its time is the number of mails."""
    for folder in (project / "templates/emails").iterdir():
        if folder.name != "welcome":
            shutil.rmtree(folder)
    replaced(project / WELCOME / "template.yml", "[en, de, fr, es, ja, ar]", "[en]")
    return project


def with_tools(home: Home) -> None:
    try:
        open_tools(home)
    except MissingToolError as error:
        pytest.skip(str(error))


def test_every_template_that_ships_passes_in_every_locale_and_the_page_tells_of_what_is_accepted(
    make_home: Callable[..., Home],
) -> None:
    """MJML strict, axe in light and dark, SpamAssassin, the large clients, nothing fetched; with room to Gmail's limit."""
    home = make_home()
    with_tools(home)

    looked_at, problems, accepted = inspect(home, open_tools(home))

    assert problems == []
    letters = sum(bool(template.letters) for template in home.templates.templates.values())
    assert (
        looked_at == (len(home.templates.templates) + letters) * 6 >= 17 * 6
    )  # letters are those that a model may write
    assert max(len(mail.draft.html.encode()) for mail in specimens(home)) < MAX_HTML_BYTES / 4
    page = (ROOT / "docs/templates.md").read_text().partition("## What is accepted")[2]
    families = [", ".join(sorted({client.split(".")[0] for client in row["found"].split(", ")})) for row in accepted]
    rows = [
        f"| `{row['feature']}` | {found} | {row['reason']} |" for row, found in zip(accepted, families, strict=True)
    ]
    assert [row for row in page.splitlines() if row.startswith("| `")] == rows


def test_each_planted_mistake_is_one_line(make_home: Callable[..., Home], one_mail: Path) -> None:
    """An attribute that MJML doesn't know, white on white, a client's gap, a spammer's sentence, an acceptance of nothing."""
    body = one_mail / WELCOME / "body.mjml.j2"
    gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    replaced(body, "<mj-button ", '<mj-button glow="yes" ')
    replaced(
        body,
        '<p class="quiet">',
        '<p style="color: #ffffff !important; background-color: #ffffff">White</p><p class="quiet">',
    )
    replaced(body, '<p class="sign">', '<p style="position: fixed">Fixed</p><p class="sign">')
    replaced(one_mail / WELCOME / "body.txt.j2", "{% trans %}Stuck", f"{gtube}\n\n{{% trans %}}Stuck")
    with (one_mail / "templates/inspection.yml").open("a") as declared:
        declared.write(UNUSED)
    home = make_home(project=one_mail)
    with_tools(home)

    looked_at, problems, _ = inspect(home, open_tools(home))

    told = [line.removeprefix(f"{WELCOME} (en): ").partition(": found ")[0] for line in problems]
    assert looked_at == 1
    assert told == [
        "mjml mj-button in line 73",
        "caniemail position",
        "axe color-contrast in light",
        "axe color-contrast in dark",
        "spamassassin score",
        "templates/inspection.yml: accepted",
        "templates/inspection.yml: accepted",
    ]
    assert "Attribute glow is illegal" in problems[0]
    assert "GTUBE" in problems[4]
    assert "found caniemail <bdi> element" in problems[5]  # which only a mail from right to left has
    assert "found caniemail <marquee> element, allowed: what some mail still shows" in problems[6]


def test_what_needs_no_tool_is_found_by_every_check(make_home: Callable[..., Home], project: Path) -> None:
    """The order of headings, and the size that Gmail shows."""
    body = project / WELCOME / "body.mjml.j2"
    replaced(body, '<p class="sign">', '<h3>{{ first_name or "You" }}</h3><p class="sign">')
    replaced(project / WELCOME / "template.yml", "[en, de, fr, es, ja, ar]", "[en]")
    other = project / "templates/emails/winback/default"
    replaced(other / "template.yml", "[en, de, fr, es, ja, ar]", "[en]")
    replaced(other / "body.mjml.j2", '<p class="sign">', f'<p>{"reports " * 13_000}</p><p class="sign">')

    _, problems = _mails(make_home(project=project))

    (heading,) = (line for line in problems if "html headings" in line)
    assert heading == f"{WELCOME}: html headings: found <h3> after <h1>, allowed: <h2>: no level is left out"
    (size,) = {line.partition(", allowed")[0].partition("found")[0] for line in problems if "html_too_large" in line}
    assert size == "templates/emails/winback/default: html_too_large: "


def test_a_fixed_link_that_nobody_answers_is_told_with_its_template(
    make_home: Callable[..., Home], one_mail: Path
) -> None:
    """Both where the link is a call to action's and where it stands in a body; on this machine alone."""
    replaced(one_mail / WELCOME / "template.yml", "https://app.ledgerline.example/start", "https://127.0.0.1:1/start")
    replaced(
        one_mail / WELCOME / "body.mjml.j2",
        '<p class="sign">',
        '<p><a href="https://127.0.0.1:1/a?b&amp;c">A</a></p><p>',
    )

    answering, problems = ask_links(make_home(project=one_mail))

    assert answering == 0
    assert [line.partition(": found")[0] for line in problems] == [
        f"{WELCOME}: link https://127.0.0.1:1/start",
        f"{WELCOME}: link https://127.0.0.1:1/a?b&c",
    ]
    assert all("refused" in line for line in problems)


def test_a_tool_that_is_missing_ends_the_check_before_it_begins(
    call: Callable[..., tuple[int, str, str]],
    make_home: Callable[..., Home],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """One line, exit code 2; without the option nobody asks for it."""
    make_home()
    monkeypatch.setenv("PATH", str(tmp_path))

    code, out, err = call("check", "--templates")

    assert (code, out) == (2, "")
    assert (
        err.strip()
        .splitlines()[-1]
        .endswith("Chromium: found none on the path, allowed: one; on Debian: apt-get install chromium")
    )


def test_all_mails_can_be_seen_at_once(
    make_home: Callable[..., Home], one_mail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTML, text and a sheet per locale; without a browser the files and the reason why there is no picture."""
    replaced(one_mail / WELCOME / "template.yml", "[en]", "[en, ar]")
    home = make_home(project=one_mail)
    with_tools(home)

    shown = preview_all(home, tmp_path / "all")

    names = sorted(path.relative_to(tmp_path / "all").as_posix() for path in (tmp_path / "all").rglob("*.*"))
    assert names == ["ar.png", "ar/welcome.html", "ar/welcome.txt", "en.png", "en/welcome.html", "en/welcome.txt"]
    assert [Path(sheet).name for sheet in shown["sheets"]] == ["en.png", "ar.png"]
    for sheet in shown["sheets"]:
        picture = Path(sheet).read_bytes()
        width, height = struct.unpack(">II", picture[16:24])
        assert (width, height > 600) == (WIDTH, True)
        assert 10_000 < len(picture) < 1_500_000
    assert (tmp_path / "all/en/welcome.txt").read_text().startswith("Subject: Welcome to Ledgerline, Núria\n")

    monkeypatch.setenv("PATH", str(tmp_path))
    blind = preview_all(home, tmp_path / "blind")
    assert (len(blind["files"]), blind["sheets"]) == (4, [])
    assert "2 mails" in blind["told"] and "no pictures: Chromium: found none" in blind["told"]
