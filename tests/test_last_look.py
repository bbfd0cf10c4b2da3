"""What changes between a decision and its send, from the warehouse on: consent that is withdrawn, a cap that is used up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from dagster_project.commands.deliver import deliver
from dagster_project.commands.review import decide
from dagster_project.commands.run import Report
from dagster_project.defs.jobs import approved_reviews_sensor
from dagster_project.home import Home
from dagster_project.ledger.rows import Message
from dagster_project.lifecycle.message import Sending
from dagster_project.lifecycle.stages import STAGES

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
Tick = Callable[..., Report]
MakeHome = Callable[..., Home]


def withdraw(company: Path, people: Collection[str], at: datetime) -> None:
    """The source records that these people want no more mails, of any type."""
    file = company / "consents.parquet"
    made = file.with_suffix(".new")
    with duckdb.connect() as connection:
        connection.execute(f"create table consents as select * from '{file}'")
        connection.execute(
            "insert into consents by name select * exclude (rn) replace ('withdrawn' as status, ?::timestamp as recorded_at)"
            " from (select *, row_number() over (partition by user_id, channel, message_type order by recorded_at desc) as rn"
            " from consents) where rn = 1 and user_id in (select unnest(?))",
            [at, list(people)],
        )
        connection.execute(f"copy consents to '{made}' (format parquet)")
    made.rename(file)


def messages(home: Home, *states: str) -> list[Message]:
    with home.ledger() as ledger:
        return ledger.messages(states=states or None)


def outbox(home: Home) -> set[str]:
    return {path.stem for path in home.outbox.rglob("*.eml")}


def asked(home: Home) -> object:
    with dg.build_sensor_context(resources={"home": home}) as context:
        return approved_reviews_sensor(context)


def delivered() -> dg.ExecuteInProcessResult:
    from dagster_project.definitions import defs

    job = defs().resolve_job_def("deliver_job")
    return job.execute_in_process(instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)


def test_a_draft_approved_after_its_person_withdrew_consent_is_never_sent(
    make_ticked: MakeHome, tick: Tick, company: Path
) -> None:
    """It waits in review at one tick, the next one knows of the withdrawal, then the reviewer says yes."""
    home = make_ticked(data=company)
    gone, stays, *_ = sorted(messages(home, "in_review"), key=lambda one: one.message_id)
    withdraw(company, [gone.user_id], MORNING + timedelta(minutes=20))
    assert tick(home, MORNING + timedelta(hours=1)).error is None
    both = [gone.message_id, stays.message_id]
    decide(home, both, "approve", "ana", "reads well")
    assert isinstance(asked(home), dg.RunRequest)

    assert delivered().success

    assert outbox(home) & set(both) == {stays.message_id}
    assert isinstance(asked(home), dg.SkipReason), "no delivery would ever send it"
    assert tick(home, MORNING + timedelta(hours=2)).error is None
    assert outbox(home) & set(both) == {stays.message_id}
    (verdict,) = [row for row in home.decisions(MORNING + timedelta(hours=2)) if row["message_id"] == gone.message_id]
    assert (verdict["verdict"], verdict["reason"]) == ("hold", "unsubscribed")
    with home.ledger() as ledger:
        (message,) = ledger.messages(message_ids=[gone.message_id])
        assert (message.state, message.release_id, message.attempts) == ("approved", None, 0)
        assert ledger.verify()["ok"]


def test_a_release_of_the_tick_before_no_longer_covers_whoever_withdrew_consent_since(
    make_ticked: MakeHome, company: Path
) -> None:
    """It is good for six hours, and workers outlast a tick: one holds a message, others wait for a server to come back. The second
    tick knows who has withdrawn, and comes no further than its drafts; a gate may have stopped it there."""
    home = make_ticked(data=company)
    ids = [one.message_id for one in messages(home, "in_review")][:4]
    decide(home, ids, "approve", "ana", "reads well")
    with home.ledger() as ledger:
        ledger.release("between", MORNING, "demo", ("decide",), timedelta(hours=6), "gates")
        held = ledger.claim("slow", 2, 3_600)
        waiting = [one for one in ledger.messages(("approved",)) if one.release_id is not None]
    assert len(held) == len(waiting) == 2
    gone = {held[0].message.message_id: held[0].message.user_id, waiting[0].message_id: waiting[0].user_id}
    withdraw(company, gone.values(), MORNING + timedelta(minutes=20))

    ticked_to_its_drafts(MORNING + timedelta(hours=1))

    with home.ledger() as ledger:
        sends = [
            Sending(one.message.message_id, one.lease, one.draft.draft_hash, b"mail", "a@b.example", one.message.email)
            for one in held
        ]
        reasons = ledger.mark_sending(sends, MORNING + timedelta(hours=1))
    assert reasons == {held[0].message.message_id: "refused"}, "the other person wants it"
    assert deliver(home, 1, False, MORNING + timedelta(hours=1), lambda _: None)["sent"] == 1
    assert outbox(home) & set(ids) == {waiting[1].message_id}
    with home.ledger() as ledger:
        assert {one.state for one in ledger.messages(message_ids=gone)} == {"approved"}
        assert {one.release_id for one in ledger.messages(message_ids=gone)} == {None}


def ticked_to_its_drafts(as_of: datetime) -> None:
    from dagster_project.definitions import defs

    graph = defs().resolve_asset_graph()
    result = (
        defs()
        .resolve_job_def("tick_job")
        .execute_in_process(
            run_config={"ops": {"ingest": {"config": {"as_of": as_of.isoformat()}}}},
            instance=dg.DagsterInstance.ephemeral(),
            asset_selection=sorted(dg.AssetSelection.groups(*STAGES[:5]).resolve(graph)),
        )
    )
    assert result.success


def test_a_tick_that_is_run_again_with_other_values_mails_nobody_a_second_time(
    make_home: MakeHome, tick: Tick, project: Path
) -> None:
    """Each tick sees the ledger as before itself, so for those whose candidates compete another one wins now. Their first mail
    has left, and the cap is one a day."""
    policies = sorted((project / "dbt_project/models/intermediate/score/triggers").glob("*.yml"))
    for policy in policies:  # with everybody's usual hour fewer compete at one hour, and among so few people nobody
        policy.write_text(policy.read_text().replace("best_hour: true", "best_hour: false"))
    home = make_home(project=project)
    assert tick(home, MORNING).error is None
    first = outbox(home)
    losers = {row["message_id"]: row["user_id"] for row in home.decisions(MORNING) if row["verdict"] == "lose"}
    assert losers
    for policy in policies:
        policy.write_text(re.sub(r" value: (.+) #", r" value: 0 - (\1) #", policy.read_text()))

    home = make_home(project=project, threads=1)  # with the same settings it would be the same object, which has parsed
    again = tick(home, MORNING)

    assert again.error == "evaluate: no delivery without decision", "what left is not what would be decided now"
    capped = [one for one in messages(home, "approved") if one.state_reason == "frequency_capped"]
    assert {one.message_id for one in capped} >= losers.keys()
    marketing = {
        row["campaign_id"] for row in home.warehouse.rows("select campaign_id from dim_campaigns where is_marketing")
    }
    mailed = Counter(one.user_id for one in messages(home, "sent") if one.campaign_id in marketing)
    assert set(mailed.values()) == {1}
    assert outbox(home) >= first  # of a crowded account another may come first now: docs/last-look.md says so
    with home.ledger() as ledger:
        assert ledger.verify()["ok"]
