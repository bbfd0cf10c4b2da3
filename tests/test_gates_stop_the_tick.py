"""Ten doctored inputs: each is stopped by the right gate, in that gate's words, and nobody is mailed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dagster_project.commands.run import Report
from dagster_project.home import Home

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
Tick = Callable[..., Report]


def rewrite(folder: Path, relation: str, select: str) -> None:
    """Replace a relation's Parquet by a select over itself (`original`)."""
    files = sorted(folder.glob(f"{relation}*.parquet")) or sorted((folder / relation).glob("*.parquet"))
    for file in files:
        made = file.with_suffix(".doctored")
        with duckdb.connect() as connection:
            connection.execute(f"create view original as select * from read_parquet('{file}')")
            connection.execute(f"copy ({select}) to '{made}' (format parquet)")
        made.rename(file)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{file} no longer holds {old!r}"
    file.write_text(text.replace(old, new))


def stopped(report: Report, home: Home, stage: str, words: str) -> None:
    """This gate failed with this sentence, later stages did not run, and nothing left."""
    failed = {gate["stage"]: gate["failed"] for gate in report.gates if not gate["passed"]}
    assert stage in failed, (failed, report.error)
    lines = [line for line in failed[stage] if words in line["sentence"]]
    assert lines, failed[stage]
    assert lines[0]["unexpected_count"] >= 1
    assert len(lines[0]["examples"]) <= 5
    assert report.error
    assert "deliver" not in report.stages
    assert list(home.outbox.rglob("*.eml")) == []
    with home.ledger() as ledger:
        assert not [message for message in ledger.messages() if message.state == "sent"]
        assert ledger.verify()["ok"]


@pytest.mark.parametrize(
    ("relation", "select", "words"),
    [
        pytest.param("users", "select * from original where false", "at least one user", id="empty users"),
        pytest.param(
            "events",
            "select * replace (occurred_at + interval 30 day as occurred_at, received_at + interval 30 day as received_at) "
            "from original",
            "when the source was read",
            id="events from the future",
        ),
        pytest.param(
            "events",
            "select * from original where received_at < timestamp '2026-08-29'",
            "younger than",
            id="stale events",
        ),
        pytest.param(
            "users",
            "select * from original union all (select * from original order by user_id limit 1)",
            "exactly once",
            id="a duplicated user",
        ),
        pytest.param(
            "users",
            "select * replace (case when hash(user_id) % 20 = 0 then null else email end as email) from original",
            "address",
            id="null addresses",
        ),
    ],
)
def test_a_bad_source_stops_at_the_ingest_gate(
    make_home: Callable[..., Home], tick: Tick, company: Path, relation: str, select: str, words: str
) -> None:
    """What the source sends is looked at before anything is derived from it."""
    rewrite(company, relation, select)
    home = make_home(data=company)

    stopped(tick(home), home, "ingest", words)


def test_an_audience_ten_times_yesterdays_stops_at_the_audience_gate(
    make_home: Callable[..., Home], tick: Tick, company: Path
) -> None:
    """Every user and account tenfold: each campaign wants ten times as many people as yesterday."""
    home = make_home(data=company)
    yesterday = tick(home, MORNING - timedelta(days=1))
    assert yesterday.error is None
    mailed = len(list(home.outbox.rglob("*.eml")))
    keys = {
        "users": "user_id || '_' || copy as user_id, account_id || '_' || copy as account_id, copy || '.' || email as email",
        "accounts": "account_id || '_' || copy as account_id, owner_user_id || '_' || copy as owner_user_id",
        "events": "event_id || '_' || copy as event_id, user_id || '_' || copy as user_id, "
        "account_id || '_' || copy as account_id",
        "subscriptions": "account_id || '_' || copy as account_id",
        "consents": "user_id || '_' || copy as user_id",
    }
    for relation, replaced in keys.items():
        rewrite(
            company, relation, f"select original.* replace ({replaced}) from original cross join range(10) as t(copy)"
        )

    report = tick(home, MORNING)

    failed = {gate["stage"]: gate["failed"] for gate in report.gates if not gate["passed"]}
    assert list(failed) == ["decide"]
    assert any("times" in line["sentence"] for line in failed["decide"])
    assert len(list(home.outbox.rglob("*.eml"))) == mailed


def test_a_suppressed_recipient_stops_at_the_audience_gate(
    make_home: Callable[..., Home], tick: Tick, project: Path, first_tick: tuple[Path, Report]
) -> None:
    """The gate looks for itself: when somebody breaks the rule's SQL, the tick stops."""
    with make_home(home=first_tick[0]).ledger() as ledger:
        victim = next(message for message in ledger.messages() if message.state == "sent")
    rule = project / "dbt_project/models/intermediate/decide/eligibility/int_eligibility__suppression.sql"
    text = rule.read_text()
    rule.write_text(text + "\n-- broken\n")
    rule.write_text(
        "select message_id, 'suppression' as rule, false as is_blocked, false as is_permanent,\n"
        "    cast(null as varchar) as reason\nfrom {{ ref('int_candidates_unioned') }}\n"
    )
    home = make_home(project=project)
    with home.ledger() as ledger:
        ledger.suppress(reason="complaint", actor="ana", address=f" {victim.email.upper()} ")

    stopped(tick(home), home, "decide", "suppress")


def test_a_missing_fact_stops_at_the_content_gate(make_home: Callable[..., Home], tick: Tick, project: Path) -> None:
    """A trigger that stops giving a fact which its template can't do without."""
    triggers = project / "dbt_project/models/intermediate/score/triggers"
    edit(triggers / "int_triggers__setup_stalled.sql", "'next_setup_step'", "'days_since_signup'")
    policy = triggers / "int_triggers__setup_stalled.yml"
    policy.write_text(without_fact(policy.read_text(), "next_setup_step"))
    home = make_home(project=project)

    stopped(tick(home), home, "draft", "draft")


def without_fact(text: str, fact: str) -> str:
    """The policy without this name among its required facts, however the list is written."""
    import re

    changed = re.sub(rf"(required_facts:.*?)\b{fact}\b,?\s?", r"\1", text, count=1, flags=re.DOTALL)
    changed = re.sub(r",\s*\]", "]", changed)
    assert changed != text
    return changed


def test_an_unrendered_brace_stops_at_the_content_gate(
    make_home: Callable[..., Home], tick: Tick, company: Path
) -> None:
    """A company that calls itself {{ first_name }} would make the mail look broken, or be a trick."""
    rewrite(company, "accounts", "select * replace ('{{ first_name }}' as name) from original")
    home = make_home(data=company)

    stopped(tick(home), home, "draft", "template")


def test_an_unsubscribe_link_gone_stops_at_the_content_gate(
    make_home: Callable[..., Home], tick: Tick, project: Path
) -> None:
    """Somebody tidies the layout and the link goes with it."""
    layout = project / "templates/layouts/default.txt.j2"
    edit(layout, "Unsubscribe: {{ unsubscribe_url }}", "You can unsubscribe.")
    home = make_home(project=project)

    stopped(tick(home), home, "draft", "unsubscribe")
