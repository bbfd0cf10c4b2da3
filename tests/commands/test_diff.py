"""`diff` against two full builds by dbt, what it leaves behind, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dagster_project.commands.diff import diff
from dagster_project.commands.diff_report import markdown
from dagster_project.home import Home

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
TRIGGERS = "dbt_project/models/intermediate/score/triggers"
LATER = datetime(2026, 9, 1, 14)  # of a day on which the tick of 9 o'clock has sent
Call = Callable[..., tuple[int, str, str]]
People = set[tuple[str, str]]


def git(folder: Path, *arguments: str) -> str:
    """A git command in a repository that knows no settings of this machine."""
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | quiet).stdout.strip()


@pytest.fixture
def repository(project: Path) -> Path:
    """The project in a repository of its own, with one commit; what dbt had parsed is ignored, as in ours."""
    (project / ".gitignore").write_text("target/\nlogs/\n")
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=As it was")
    return project


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, to be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def edited(home: Home, repository: Path) -> Home:
    """The ticked home over the repository's working tree."""
    return Home(home.settings.model_copy(update={"project": repository}))


def replace(file: Path, old: str, new: str) -> None:
    """One line of a file, as somebody edits it."""
    assert file.read_text().count(old) == 1, file
    file.write_text(file.read_text().replace(old, new))


def prioritise(project: Path, campaign_id: str) -> None:
    """Put one campaign before all others."""
    yml = project / TRIGGERS / f"int_triggers__{campaign_id}.yml"
    (line,) = [line for line in yml.read_text().splitlines() if " value:" in line]
    replace(yml, line, line.partition("value")[0] + 'value: "1000000"')


def decided(home: Home, project: Path, as_of: datetime, folder: Path) -> dict[str, dict[str, Any]]:
    """What a whole build by dbt decides: message_id to its row."""
    folder.mkdir()
    built = Home(home.settings.model_copy(update={"home": folder, "data": home.data, "project": project}))
    home.warehouse.copy_landed(built.settings.warehouse_path)
    with home.ledger() as ledger:
        built.warehouse.write(ledger.land(home.pack.name), schema="raw")
    built.models.rebuild(as_of)
    return {row["message_id"]: row for row in built.warehouse.rows("select * exclude (policy_hash) from int_verdicts")}


def people(rows: dict[str, dict[str, Any]]) -> People:
    return {(row["campaign_id"], row["user_id"]) for row in rows.values()}


CHANGES = {
    "a condition": (f"{TRIGGERS}/int_triggers__winback.sql", "'28 days' <= {{", "'24 days' <= {{"),
    "a rule's number": (
        "dbt_project/dbt_project.yml",
        "people_per_account_per_day: 3",
        "people_per_account_per_day: 1",
    ),
}


@pytest.mark.parametrize("change", ["a condition", "a policy", "a rule's number"])
def test_exactly_the_people_are_reported_in_whom_two_full_builds_differ(
    edited: Home, repository: Path, change: str, tmp_path: Path
) -> None:
    """One line of one file changes; both revisions are built by dbt for everybody and compared row by row."""
    shutil.copytree(repository / "dbt_project", tmp_path / "before" / "dbt_project")
    shutil.copytree(repository / "templates", tmp_path / "before" / "templates")
    if change == "a policy":
        prioritise(repository, "feature_next")
    else:
        file, old, new = CHANGES[change]
        replace(repository / file, old, new)
    base = decided(edited, tmp_path / "before", LATER, tmp_path / "base")
    head = decided(edited, repository, LATER, tmp_path / "head")

    answer = diff(edited, "HEAD", LATER, None)

    campaigns = answer["campaigns"]
    differ = {key: base.get(key) or head[key] for key in base.keys() | head.keys() if base.get(key) != head.get(key)}
    told = {(one["campaign_id"], user) for one in campaigns for user in one["people"]}
    assert told == people(differ)
    assert told, "the change must change something"
    entered = {(one["campaign_id"], user) for one in campaigns for user in one["entered"]["people"]}
    left = {(one["campaign_id"], user) for one in campaigns for user in one["left"]["people"]}
    assert (entered, left) == (people(head) - people(base), people(base) - people(head))
    for one in campaigns:
        for side, rows in (("base", base), ("head", head)):
            mine = {key: row for key, row in rows.items() if row["campaign_id"] == one["campaign_id"]}
            assert one[side]["people"] == len(people(mine))
            assert one[side]["sends"] == sum(row["verdict"] == "send" for row in mine.values())
        turned = {user for changed in one["verdicts"] for user in changed["people"]}
        for user in turned - {user for _, user in entered | left}:
            of_user = [
                {(key, row["verdict"], row["reason"]) for key, row in rows.items()
                 if (row["campaign_id"], row["user_id"]) == (one["campaign_id"], user)} for rows in (base, head)
            ]  # fmt: skip
            assert of_user[0] != of_user[1] or change == "a policy"


def test_who_entered_is_told_with_the_condition_its_two_forms_and_the_values(edited: Home, repository: Path) -> None:
    replace(repository / TRIGGERS / "int_triggers__winback.sql", "'28 days' <= {{", "'24 days' <= {{")

    answer = diff(edited, "main", None, None)

    assert answer["changed_files"] == [f"{TRIGGERS}/int_triggers__winback.sql"]
    first = answer["campaigns"][0]
    assert first["campaign_id"] == "winback"
    (change,) = first["changes"]
    assert change["part"] == "trigger SQL"
    entered = first["entered"]
    assert entered["people"] and not first["left"]["people"]
    (condition,) = entered["conditions"]
    assert (condition["condition"], condition["people"]) == ("is_away_for_four_weeks", len(entered["people"]))
    assert "28 days" in condition["base"]
    assert "24 days" in condition["head"]
    (failed,) = entered["examples"][0]["failed"]
    (read,) = [read for read in failed["reads"] if read["name"] == "last_seen_at"]
    assert datetime(2026, 8, 4, 9) < read["value"] <= datetime(2026, 8, 8, 9)
    new = [mail for mail in first["mails"] if mail["before"] is None]
    assert new[0]["after"]["subject"]
    assert new[0]["user_id"] in entered["people"]


def test_another_campaign_is_told_what_it_lost_to(edited: Home, repository: Path) -> None:
    """One message per person gets through: a campaign that is put first and asks more people takes them from others."""
    replace(repository / TRIGGERS / "int_triggers__winback.sql", "'28 days' <= {{", "'1 days' <= {{")
    prioritise(repository, "winback")

    first, *others = diff(edited, "HEAD", None, None)["campaigns"]

    assert first["campaign_id"] == "winback"
    assert all(one["changes"] == [] for one in others)
    lost = [change for one in others for change in one["verdicts"] if change["to"] == "lose (lost_arbitration)"]
    assert lost
    for change in lost:
        assert set(change["people"]) <= set(first["people"])
        assert change["loses_to_now"] == {"winback": len(change["people"])}


def test_a_changed_template_shows_the_mail_before_and_after(edited: Home, repository: Path) -> None:
    body = repository / "templates/emails/feature_next/default/body.txt.j2"
    body.write_text("Good news.\n" + body.read_text())

    (one,) = diff(edited, "HEAD", None, None)["campaigns"]

    assert (one["campaign_id"], one["people"], one["base"]) == ("feature_next", [], one["head"])
    assert [change["part"] for change in one["changes"]] == ["default/body.txt.j2"]
    assert len(one["mails"]) == 3
    for mail in one["mails"]:
        assert [line for line in mail["diff"] if line[0] in "+-"] == ["+Good news."]


def test_without_a_change_there_is_no_difference(edited: Home) -> None:
    answer = diff(edited, "HEAD", LATER, None)

    assert (answer["campaigns"], answer["changed_files"], answer["over"]) == ([], [], [])
    assert "Nothing is decided differently" in markdown(answer)


# ---------------------------------------------------------------- for machines, and for a pull request


@pytest.fixture
def at_work(edited: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The edited home as the environment names it."""
    settings = edited.settings
    named = {"HOME": settings.home, "DATA": settings.data, "PROJECT": settings.project, "THREADS": 2}
    for name, value in named.items():
        monkeypatch.setenv(f"POSTRIDER_{name}", str(value))
    return edited


def test_json_markdown_and_the_limit(at_work: Home, repository: Path, call: Call) -> None:
    """Exit code 1 where more people of one campaign differ than allowed, and the answer is printed all the same."""
    replace(repository / TRIGGERS / "int_triggers__winback.sql", "'28 days' <= {{", "'24 days' <= {{")

    code, out, _ = call("diff", "--base", "main", "--json", "--fail-over", "100%")
    told = json.loads(out)
    assert (code, told["over"], told["fail_over"]) == (0, [], "100%")
    count = len(told["campaigns"][0]["people"])

    code, out, err = call("diff", "--base", "main", "--markdown", "--fail-over", str(count - 1))
    assert code == 1
    assert err == f"postrider: more than {count - 1} of the people differ in winback\n"
    assert "| winback |" in out
    assert f"**over {count - 1}**" in out
    assert out.count("<details>") == out.count("</details>") == len(told["campaigns"])

    code, out, _ = call("diff", "--base", "main")
    assert code == 0
    assert f"entered {count}" in out


def snapshot(*folders: Path) -> dict[str, str]:
    """Every file below with its content's hash; what dbt has parsed is a cache and may be made anew."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "target" not in path.parts
    }


def test_nothing_is_left_behind_or_changed(edited: Home, repository: Path, scratch: Path) -> None:
    """Not in the home, the working tree, the repository or among temporary files."""
    replace(repository / TRIGGERS / "int_triggers__winback.sql", "'28 days' <= {{", "'24 days' <= {{")
    before = snapshot(edited.path, repository)

    diff(edited, "HEAD", None, None)

    assert snapshot(edited.path, repository) == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_whoever_ends_it_nothing_is_left_behind(
    at_work: Home, repository: Path, scratch: Path, asked: signal.Signals
) -> None:
    before = snapshot(at_work.path, repository)
    command = [sys.executable, "-m", "dagster_project.cli", "diff", "--base", "HEAD"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    try:
        until = time.monotonic() + 60
        while not list(scratch.glob("*/of-base")) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        running.send_signal(asked)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()

    heard = (130, -asked, -signal.SIGINT)  # SIGTERM is heard as Ctrl-C, wherever it comes
    assert running.returncode in heard, "as a shell sees it, or as the kernel does"
    assert err == ""
    assert list(scratch.iterdir()) == []
    assert snapshot(at_work.path, repository) == before


# ---------------------------------------------------------------- what is refused


@pytest.fixture
def refused(call: Call) -> Callable[..., None]:
    """One line with these words, exit code 2."""

    def refused_(*words: str, base: str = "HEAD", arguments: tuple[str, ...] = ()) -> None:
        code, out, err = call("diff", "--base", base, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        for word in words:
            assert word in err

    return refused_


def test_a_folder_that_is_no_repository_is_refused(
    at_work: Home, repository: Path, refused: Callable[..., None]
) -> None:
    shutil.rmtree(repository / ".git")

    refused("--base", str(repository), "is in no git repository")


@pytest.mark.parametrize("revision", ["nowhere", "--all", "HEAD^{tree}", "0123456789"])
def test_an_unknown_revision_is_refused(at_work: Home, revision: str, refused: Callable[..., None]) -> None:
    refused(f"--base {revision}: no such revision", base=revision)


def test_a_revision_without_the_project_is_refused(
    at_work: Home, repository: Path, refused: Callable[..., None]
) -> None:
    empty = git(repository, "commit-tree", "-m", "Empty", git(repository, "hash-object", "-t", "tree", "/dev/null"))

    refused("holds no dbt_project/dbt_project.yml", base=empty)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (f"{TRIGGERS}/int_triggers__winback.sql", "select * from {{ ref('nobody') }}", ("int_triggers__winback", "nobody")),
        (f"{TRIGGERS}/int_triggers__winback.sql", "with a as (selec 1) select * from a", ("int_triggers__winback",)),
        ("dbt_project/dbt_project.yml", "name: [", ("Syntax error near line 2",)),
    ],
    ids=["a ref to nothing", "no SQL", "no YAML"],
)  # fmt: skip
def test_a_base_that_does_not_build_is_refused(
    at_work: Home, repository: Path, file: str, text: str, words: tuple[str, ...], refused: Callable[..., None]
) -> None:
    whole = (repository / file).read_text()
    (repository / file).write_text(text)
    git(repository, "commit", "--all", "--quiet", "--message=Broken")
    (repository / file).write_text(whole)

    refused("--base: that revision can't be built", *words)


def test_a_home_in_which_nothing_has_landed_is_refused(
    at_work: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: Callable[..., None]
) -> None:
    monkeypatch.setenv("POSTRIDER_HOME", str(tmp_path / "fresh"))

    refused("nothing of pack demo has landed", "postrider run")
    refused("nothing of pack demo has landed", arguments=("--as-of", "2026-09-01T09:00:00Z"))


def test_a_time_before_the_data_and_a_limit_that_is_none_are_refused(
    at_work: Home, refused: Callable[..., None]
) -> None:
    refused("--as-of 2020-01-01", "before the data", arguments=("--as-of", "2020-01-01"))
    refused("--fail-over many", "a percentage such as 5%", arguments=("--fail-over", "many"))
