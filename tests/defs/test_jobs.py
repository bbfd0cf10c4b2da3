"""When things run: every hour as of that hour, and after a person has approved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_project.commands.review import decide, waiting
from dagster_project.commands.run import Report
from dagster_project.defs.jobs import approved_reviews_sensor, hourly_schedule
from dagster_project.home import Home
from dagster_project.lifecycle.stages import STAGES
from expectations.gate import run_gate

Tick = Callable[..., Report]
MORNING = datetime(2026, 9, 1, 9)
LOADED = """
import json
from dagster_project.definitions import defs
loaded = defs()
graph = loaded.resolve_asset_graph()
assets = {}
for key in graph.get_all_asset_keys():
    node = graph.get(key)
    assets[key.to_user_string()] = {
        "group": node.group_name, "owners": list(node.owners), "kinds": sorted(node.kinds),
        "description": node.description, "code_version": node.code_version,
    }
print(json.dumps({"assets": assets, "jobs": sorted(job.name for job in loaded.resolve_all_job_defs())}))
"""


def delivered() -> dg.ExecuteInProcessResult:
    """One run of the job that the sensor starts."""
    from dagster_project.definitions import defs

    job = defs().resolve_job_def("deliver_job")
    return job.execute_in_process(instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["demo", "yammer"])
def test_the_code_location_loads_with_each_pack(source: str, tmp_path: Path) -> None:
    """Every asset says who answers for it, what it is made with, which stage it belongs to, and what a row of it is."""
    environment = os.environ | {"POSTRIDER_SOURCE": source, "POSTRIDER_HOME": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    loaded = json.loads(answer.stdout.splitlines()[-1])

    assert {"tick_job", "deliver_job"} <= set(loaded["jobs"])
    assert {asset["group"] for asset in loaded["assets"].values()} == set(STAGES)
    lacking = [
        (name, field)
        for name, asset in loaded["assets"].items()
        for field in ("owners", "kinds", "description", "code_version")
        if not asset[field]
    ]
    assert lacking == []
    assert f"stg_{source}__users" in loaded["assets"]


def test_a_scheduled_tick_is_as_of_its_hour() -> None:
    """However late the run starts: the hour that was due is the tick's time, and its key, so it is requested once."""
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 9, 1, 9, tzinfo=UTC))

    requested = hourly_schedule(context)

    assert isinstance(requested, dg.RunRequest)
    assert requested.run_config == {"ops": {"ingest": {"config": {"as_of": "2026-09-01T09:00:00"}}}}
    assert requested.run_key == "2026-09-01T09:00:00"
    assert hourly_schedule.cron_schedule == "0 * * * *"
    assert hourly_schedule.execution_timezone == "UTC"


@pytest.mark.slow
def test_what_a_person_approves_is_delivered_and_nothing_else(make_ticked: Callable[..., Home]) -> None:
    """The sensor waits for an approval, the job it starts sends just that draft, and then it waits again."""
    home = make_ticked()
    before = {path.stem for path in home.outbox.rglob("*.eml")}
    in_review = waiting(home)["waiting"]
    assert len(in_review) > 1
    chosen = in_review[0]["message_id"]

    def asked() -> object:
        with dg.build_sensor_context(resources={"home": home}) as context:
            return approved_reviews_sensor(context)

    assert isinstance(asked(), dg.SkipReason)
    decide(home, [chosen], "approve", "ana", "reads well")
    assert isinstance(asked(), dg.RunRequest)

    assert delivered().success
    with home.ledger() as ledger:
        (message,) = ledger.messages(message_ids=[chosen])
        states = [one.state for one in ledger.messages() if one.message_id in {row["message_id"] for row in in_review}]
        assert ledger.verify()["ok"]
    assert message.state == "sent"
    assert states.count("sent") == 1
    assert len({path.stem for path in home.outbox.rglob("*.eml")} - before) == 1
    assert isinstance(asked(), dg.SkipReason)


def deliver() -> bool:
    """One run of the job, as the sensor starts it: did it succeed?"""
    from dagster_project.definitions import defs

    job = defs().resolve_job_def("deliver_job")
    return job.execute_in_process(instance=dg.DagsterInstance.ephemeral(), raise_on_error=False).success


def die(*_: object, **__: object) -> None:
    """In place of a SIGKILL: nothing more of the tick runs."""
    raise RuntimeError("killed")


@pytest.mark.slow
def test_a_delivery_goes_on_with_a_tick_that_died_after_its_decisions_passed(
    make_home: Callable[..., Home], tick: Tick
) -> None:
    """What it plans belongs to the tick that decided it, and the caution of that tick's gate holds."""
    home = make_home()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dagster_project.defs.draft.withdrawn", die)
        died = tick(home)
    assert died.error is not None
    with home.ledger() as ledger:
        assert ledger.messages() == []
        unusual = {"passed": False, "severity": "warning", "campaigns": ["welcome"]}
        ledger.record_gate(died.run_id, MORNING, "decide", True, [unusual])

    assert deliver()

    with home.ledger() as ledger:
        messages = ledger.messages()
        told = ledger.verify()
    assert told["ok"], told
    assert {message.run_id for message in messages} == {died.run_id}
    assert len(messages) == died.verdicts["send"]
    assert {message.state for message in messages if message.campaign_id == "welcome"} == {"in_review"}
    assert sum(message.state == "sent" for message in messages) > 10


@pytest.mark.slow
def test_a_delivery_leaves_alone_what_a_tick_did_not_get_to_decide(
    make_ticked: Callable[..., Home], tick: Tick
) -> None:
    """Without decisions nobody would seem to qualify any more, and all that waits would be cancelled for good; with decisions
    that no gate has judged, an audience that exploded would be mailed."""
    home = make_ticked()
    chosen = waiting(home)["waiting"][0]["message_id"]
    decide(home, [chosen], "approve", "ana", "reads well")
    with home.ledger() as ledger:
        before = {one.message_id: one.state for one in ledger.messages()}
    for hours, stage in ((1, "decide"), (2, "ingest")):

        def die_at(gate: str, *arguments: Any, stage: str = stage) -> Any:
            return die() if gate == stage else run_gate(gate, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dagster_project.defs.gates.run_gate", die_at)
            assert tick(home, MORNING + timedelta(hours=hours)).error is not None

        assert not deliver(), stage
        with dg.build_sensor_context(resources={"home": home}) as context:
            assert isinstance(approved_reviews_sensor(context), dg.SkipReason)
        with home.ledger() as ledger:
            assert {one.message_id: one.state for one in ledger.messages()} == before, stage


@pytest.mark.slow
def test_a_delivery_after_a_tick_that_a_gate_stopped_cancels_nothing_and_sends_nothing(
    make_ticked: Callable[..., Home], tick: Tick
) -> None:
    """The warehouse then holds the verdicts of the tick before: by the stopped tick's time nobody qualifies any more."""
    home = make_ticked()
    in_review = [row["message_id"] for row in waiting(home)["waiting"]]
    mails = set(home.outbox.rglob("*.eml"))
    stopped = tick(home, datetime(2026, 9, 4, 9))
    assert [gate["stage"] for gate in stopped.gates if not gate["passed"]] == ["ingest"], "the source is three days old"
    decide(home, in_review[:1], "approve", "ana", "reads well")

    result = delivered()

    with home.ledger() as ledger:
        states = Counter(one.state for one in ledger.messages(message_ids=in_review))
    assert states == {"approved": 1, "in_review": len(in_review) - 1}
    (failed,) = result.get_step_failure_events()
    assert "the tick as of 2026-09-04 09:00:00 has not passed the gate decide" in str(failed.step_failure_data.error)
    assert set(home.outbox.rglob("*.eml")) == mails


@pytest.mark.slow
@pytest.mark.parametrize("severity", ["error", "warn"])
def test_a_failing_dbt_test_stops_the_tick_and_a_warning_does_not(
    make_home: Callable[..., Home], tick: Tick, project: Path, severity: str
) -> None:
    """A truth about a table that doesn't hold any more: said in its sentence, with examples, and nobody is mailed."""
    (project / "dbt_project" / "tests" / "nobody_has_signed_up.sql").write_text(
        f"{{{{ config(severity='{severity}') }}}}\nselect user_id from {{{{ ref('int_users_enriched') }}}}\n"
    )
    home = make_home(project=project)

    report = tick(home)

    (gate,) = [gate for gate in report.gates if gate["stage"] == "enrich"]
    lines = gate["failed"] if severity == "error" else gate["warnings"]
    assert [line["sentence"] for line in lines] == ["nobody has signed up"]
    assert lines[0]["unexpected_count"] == 1_500
    mails = list(home.outbox.rglob("*.eml"))
    if severity == "error":
        assert report.error is not None
        assert "nobody has signed up" in report.error
        assert len(lines[0]["examples"]) == 5
        assert "score" not in report.stages
        assert mails == []
    else:
        assert report.error is None
        assert gate["passed"]
        assert len(mails) == report.deliveries["sent"] > 0
    shutil.rmtree(home.path)
