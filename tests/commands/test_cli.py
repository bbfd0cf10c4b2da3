"""The surface: help with an example for each command, and one JSON object for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from dagster_project import cli
from dagster_project.home import Home
from dagster_project.lifecycle.stages import STAGES

Call = Callable[..., tuple[int, str, str]]
GROUP = typer.main.get_command(cli.app)
GROUPS = ("review", "inbox", "translations", "knowledge", "drafts")
SUBCOMMANDS = [("campaigns", "history")]  # of a command that answers alone as well
NAMES = [(name,) for name in GROUP.commands if name not in GROUPS]  # pyright: ignore[reportAttributeAccessIssue]
NAMES += [(group, name) for group in GROUPS for name in GROUP.commands[group].commands]  # pyright: ignore[reportAttributeAccessIssue]
NAMES += SUBCOMMANDS


@pytest.fixture
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A ticked home that the environment names, for commands called by their words."""
    assert home.settings.data is not None
    for name, value in {"HOME": home.path, "DATA": home.settings.data, "THREADS": 2}.items():
        monkeypatch.setenv(f"POSTRIDER_{name}", str(value))
    monkeypatch.setenv("USER", "ana")
    return home


def answer(called: tuple[int, str, str], code: int = 0) -> Any:
    """The one JSON object that a command printed, and nothing else."""
    found, out, err = called
    assert found == code, err
    assert len(out.splitlines()) == 1, out
    return json.loads(out)


def test_every_promised_command_is_there() -> None:
    promised = "run explain preview check campaigns pause resume kill review verify demo inbox"

    assert set(promised.split()) <= set(GROUP.commands)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("words", NAMES, ids=" ".join)
def test_help_has_an_example(call: Call, words: tuple[str, ...]) -> None:
    """An example that names the command itself, as somebody would type it."""
    code, out, _ = call(*words, "--help")

    assert code == 0
    assert f"Example: postrider {' '.join(words)}" in " ".join(out.split())
    if words not in (("ui",), ("inbox", "serve")):
        assert "--json" in out


def test_an_unknown_command_or_option_is_refused_in_one_line(call: Call) -> None:
    for words in (["runn"], ["run", "--asof", "now"], ["review", "burn"], ["explain"], ["pause"]):
        code, out, err = call(*words)
        assert (code, out) == (2, ""), words
        assert len(err.splitlines()) == 1
        assert err.startswith("postrider: ")


@pytest.mark.slow
def test_a_tick_is_one_object_for_machines(at_home: Home, call: Call) -> None:
    """With every promised key, and nothing but the object on standard output."""
    told = answer(call("run", "--as-of", "2026-09-01T09:00:00Z", "--json"))

    assert {"as_of", "run_id", "stages", "verdicts", "reasons", "gates", "drafts", "deliveries", "seconds"} <= set(told)
    assert list(told["stages"]) == list(STAGES)
    assert all(stage["seconds"] >= 0 and len(stage) > 1 for stage in told["stages"].values())
    assert [gate["stage"] for gate in told["gates"]] == list(STAGES)
    assert all(gate["passed"] and gate["expectations"] > 0 and gate["failed"] == [] for gate in told["gates"])
    assert sum(told["verdicts"].values()) == sum(told["reasons"].values())
    assert told["as_of"] == "2026-09-01T09:00:00Z"
    with at_home.ledger() as ledger:
        assert ledger.tick(told["run_id"]).status == "done"


@pytest.mark.slow
def test_each_question_is_answered_with_one_object(at_home: Home, call: Call, tmp_path: Path) -> None:
    """The documented shapes, in the home of a real tick."""
    (sent,) = at_home.warehouse.rows("select * from int_verdicts where verdict = 'send' order by message_id limit 1")

    told = answer(call("verify", "--json"))
    assert set(told) == {"ok", "chain", "invariants"}
    assert told["ok"] and told["chain"]["ok"] and told["chain"]["events"] > 0
    assert [set(one) for one in told["invariants"]] == [{"id", "ok", "checked", "detail"}] * 11
    assert [one["id"] for one in told["invariants"]] == [f"I{number}" for number in range(1, 12)]

    told = answer(call("explain", "--user", sent["user_id"], "--campaign", sent["campaign_id"], "--json"))
    assert (told["user_id"], told["campaigns"][0]["verdict"]) == (sent["user_id"], "send")

    told = answer(call("campaigns", "--json"))
    assert {one["campaign_id"] for one in told["campaigns"]} == set(at_home.policies)

    told = answer(call("check", "--settings", "--json"))
    assert told["ok"]
    assert {"POSTRIDER_HOME", "POSTRIDER_ENV", "OPENAI_API_KEY"} <= set(told["settings"])

    told = answer(call("review", "list", "--json"))
    waiting = told["waiting"][0]["message_id"]
    assert answer(call("review", "show", waiting, "--json"))["message_id"] == waiting
    assert answer(call("review", "approve", waiting, "--json"))["message_ids"] == [waiting]

    told = answer(call("pause", "winback", "--reason", "a pause", "--json"))
    assert "said" in told
    told = answer(call("preview", "welcome", "--out", tmp_path / "shown", "--json"))
    assert all(Path(file).exists() for file in told["files"])
    told = answer(call("demo", "--users", "50", "--days", "30", "--out", tmp_path / "tiny", "--json"))
    assert told["users"] == 50


@pytest.mark.slow
def test_a_flipped_byte_makes_verify_say_no(at_home: Home, call: Call) -> None:
    """Exit code 1, with the event named, for machines and for people."""
    from dagster_project.ledger.database import sqlite

    with sqlite.connect(at_home.path / "ledger.sqlite") as connection:
        (body,) = connection.execute("select payload from events where seq = 100").fetchone()
        changed = body.replace("a", "b", 1) if "a" in body else body + " "
        for (trigger,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {trigger}")
        connection.execute("update events set payload = ? where seq = 100", [changed])
    connection.close()

    told = answer(call("verify", "--json"), code=1)
    assert told["chain"]["broken_at"] == 100
    code, _, err = call("verify")
    assert code == 1
    assert "100" in err


@pytest.mark.slow
def test_what_people_read_fits_their_terminal(at_home: Home, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """No table runs over the edge of 80 columns, and no colour code leaks into a pipe."""
    (sent,) = at_home.warehouse.rows("select * from int_verdicts where verdict = 'send' order by message_id limit 1")
    monkeypatch.setenv("COLUMNS", "80")
    from dagster_project.commands import report

    monkeypatch.setattr(report.out, "_width", 80)
    for words in (["campaigns"], ["verify"], ["review", "list"], ["explain", "--user", sent["user_id"]]):
        code, out, _ = call(*words)
        assert code == 0
        assert "\x1b[" not in out
        wide = [line for line in out.splitlines() if len(line.rstrip()) > 80]
        assert wide == [], (words, wide)
