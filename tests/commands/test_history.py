"""`campaigns history`: what a campaign was at each tick, told from the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.commands.history import history
from dagster_project.commands.run import Report
from dagster_project.home import Home
from dagster_project.lifecycle.policy_versions import policy_hash

pytestmark = pytest.mark.slow

TRIGGERS = "dbt_project/models/intermediate/score/triggers"
Call = Callable[..., tuple[int, str, str]]


def replace(file: Path, old: str, new: str) -> None:
    """One line of a file, as somebody edits it."""
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))


def test_the_hash_on_decisions_messages_and_versions_is_that_of_the_text_in_the_ledger(ticked: Home) -> None:
    """dbt and Python make it apart; a decision leads to all that its campaign was made of."""
    texts = {name: policy_hash(document) for name, document in ticked.policy_documents().items()}
    decided = ticked.warehouse.rows("select distinct campaign_id, policy_hash from fct_decisions")
    versions = ticked.warehouse.rows("select * from dim_campaign_versions")

    assert len(texts) == len(versions) == 11
    assert {one["campaign_id"]: one["policy_hash"] for one in decided}.items() <= texts.items()
    assert {one["campaign_id"]: one["policy_hash"] for one in versions} == texts
    assert {(one["version"], one["valid_to"]) for one in versions} == {(1, None)}
    with ticked.ledger() as ledger:
        assert {one.campaign_id: one.policy_hash for one in ledger.policy_history("demo")} == texts
        assert {message.policy_hash for message in ledger.messages()} <= set(texts.values())


def test_what_changed_when_is_told_as_a_diff_also_after_the_warehouse_is_gone(
    make_home: Callable[..., Home], tick: Callable[..., Report], project: Path, call: Call
) -> None:
    """A line of SQL, of the policy and of a template in the second tick; one more that no tick has seen."""
    home = make_home(project=project)
    assert tick(home, datetime(2026, 9, 1, 9)).error is None
    replace(project / TRIGGERS / "int_triggers__winback.sql", "interval '42 days'", "interval '35 days'")
    yml = project / TRIGGERS / "int_triggers__winback.yml"
    (priority,) = [line for line in yml.read_text().splitlines() if "priority:" in line]
    replace(yml, priority, priority.partition("priority")[0] + "priority: 77")
    body = project / "templates/emails/winback/default/body.txt.j2"
    body.write_text("Welcome back.\n" + body.read_text())
    home = make_home(project=project, threads=1)
    assert tick(home, datetime(2026, 9, 1, 10)).error is None
    versions = home.warehouse.rows(
        "select version, valid_from, valid_to, policy ->> '$.priority' as priority from dim_campaign_versions"
        " where campaign_id = 'winback' order by version"
    )
    home.settings.warehouse_path.unlink()
    replace(project / TRIGGERS / "int_triggers__winback.sql", "interval '35 days'", "interval '36 days'")
    home = make_home(project=project)

    told = history(home, "winback")

    assert [(one["valid_from"].hour, one["valid_to"] and one["valid_to"].hour) for one in versions] == [
        (9, 10),
        (10, None),
    ]
    assert [one["priority"] for one in versions] == [priority.rpartition(" ")[2], "77"]
    first, second = told["versions"]
    assert (first["valid_to"], second["valid_from"], second["valid_to"]) == (
        "2026-09-01T10:00:00Z",
        "2026-09-01T10:00:00Z",
        None,
    )
    assert first["changes"] == []
    changed = {change["part"]: [line for line in change["diff"] if line[0] in "+-"] for change in second["changes"]}
    assert changed == {
        "policy": [f"-{priority.strip()}", "+priority: 77"],
        "trigger SQL": [
            "-        coalesce(last_seen_at + interval '42 days' > {{ as_of() }}, false)",
            "+        coalesce(last_seen_at + interval '35 days' > {{ as_of() }}, false)",
        ],
        "default/body.txt.j2": ["+Welcome back."],
    }
    (ahead,) = told["next"]["changes"]
    assert "+        coalesce(last_seen_at + interval '36 days' > {{ as_of() }}, false)" in ahead["diff"]
    assert history(home, "welcome")["next"] is None
    assert len(history(home, "welcome")["versions"]) == 1

    code, out, _ = call("campaigns", "history", "winback")
    assert code == 0
    assert "from 2026-09-01 10:00:00 UTC, in force" in out
    assert "+priority: 77" in out
    assert json.loads(call("campaigns", "history", "winback", "--json")[1])["versions"][1]["version"] == 2
    code, _, err = call("campaigns", "history", "birthday")
    assert (code, err.count("\n")) == (2, 1)
    assert "birthday: unknown campaign; allowed are churn_risk" in err
