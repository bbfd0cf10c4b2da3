"""Other people's mass mailings gone wrong, replayed (reference on reliability, section 5.2): who stopped each, and who was mailed."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from dagster_project.adapters.clock import utc_now
from dagster_project.commands.check import check
from dagster_project.commands.review import decide
from dagster_project.commands.run import Report, run
from dagster_project.commands.settings import open_home
from dagster_project.defs.review import RELEASE_VALID_FOR, REQUIRED_GATES
from dagster_project.home import Home
from dagster_project.ledger import open_ledger
from dagster_project.lifecycle.errors import Refusal
from dagster_project.lifecycle.flow import Canary
from dagster_project.lifecycle.message import Draft, PlannedMessage
from tests.post_mortems_sink import Sink
from tests.released import AS_OF, Recorder, draft_of, planned, release

pytestmark = pytest.mark.slow  # each is a tick, or a transport with its servers

MORNING = datetime(2026, 9, 1, 9)
TRIGGERS = Path("dbt_project/models/intermediate/score/triggers")
TEST_MAIL = "Integration Test Email #1"
WORKER = Path(__file__).parent / "faults/worker.py"
LEASE_SECONDS = 1.0
PRODUCTION = {  # what mails with other domains than the demo's need: those can't be answered, so in production none may leave
    "env": "production",
    "sender": "Ledgerline <hello@ledgerline.co>",
    "public_url": "https://mail.ledgerline.co",
}
Tick = Callable[..., Report]
MakeHome = Callable[..., Home]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(tmp_path / "record") as server:
        yield server


@pytest.fixture(scope="session")
def yesterday(tmp_path_factory: pytest.TempPathFactory, small_company: Path) -> Path:
    """A home after its tick of yesterday morning, all well. Not to be changed: copy it."""
    folder, before = tmp_path_factory.mktemp("yesterday") / "home", dict(os.environ)
    try:
        os.environ |= {"POSTRIDER_HOME": str(folder), "POSTRIDER_DATA": str(small_company), "POSTRIDER_THREADS": "2"}
        report = run(open_home(), MORNING - timedelta(days=1), lambda *_: None)
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert report.error is None
    return folder


@pytest.fixture
def today(make_home: MakeHome, yesterday: Path, tmp_path: Path) -> MakeHome:
    """Opens a copy of yesterday's home."""
    return lambda **settings: make_home(home=shutil.copytree(yesterday, tmp_path / "today"), **settings)


def edit(file: Path, *pairs: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in pairs:
        assert old in text, f"{file} no longer holds {old!r}"
        text = text.replace(old, new)
    file.write_text(text)


def to_the(server: Recorder | Sink) -> dict[str, str]:
    """Settings of a channel that sends for real, to this server."""
    return {"channel": "smtp", "smtp_url": f"smtp://127.0.0.1:{server.port}?starttls=never"}


def draft(home: Home, message: PlannedMessage, subject: str = "Welcome") -> Draft:
    """One that the law and the mailbox providers have nothing against."""
    url = f"{home.settings.public_url}/u/abc"
    address = home.settings.postal_address
    return dataclasses.replace(
        draft_of(message),
        subject=subject,
        html=f'<p>Hello Ada</p>\n<p><a href="{url}">Unsubscribe</a></p>\n<p>{address}</p>\n',
        text=f"Hello Ada\n\nUnsubscribe: {url}\n{address}\n",
        unsubscribe_url=url,
    )


def released(home: Home, count: int, subject: str = "Welcome", canary: Canary | None = None) -> list[PlannedMessage]:
    """A released campaign, as a tick of this home would leave it."""
    home.prepare()
    messages = [planned(number) for number in range(count)]
    with home.ledger() as ledger:
        ledger.begin_tick("run-1", AS_OF, "demo")
        ledger.plan(messages, "run-1", AS_OF, "demo")
        ledger.record_drafts([draft(home, message, subject) for message in messages], "run-1", AS_OF)
        ledger.route({message.message_id: "approved" for message in messages}, "run-1", AS_OF)
        ledger.record_gate("run-1", AS_OF, "decide", True, [])
        ledger.release("run-1", AS_OF, "demo", ["decide"], RELEASE_VALID_FOR, "gates", (), canary)
    return messages


def new_database(server: str, name: str) -> str:
    """Its URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return re.sub(r"/[^/]*$", f"/{name}", server)


def outbox(home: Home) -> set[str]:
    return {file.stem for file in home.outbox.rglob("*.eml")}


def states(home: Home, campaign_id: str | None = None) -> Counter[str]:
    with home.ledger() as ledger:
        return Counter(one.state for one in ledger.messages() if campaign_id in (None, one.campaign_id))


def verified(home: Home, accepted: dict[str, int] | None = None) -> bool:
    with home.ledger() as ledger:
        report = ledger.verify(accepted)
    assert [one for one in report["invariants"] if not one["ok"]] == []
    return report["ok"]


def answer(told: tuple[int, str, str]) -> Any:
    code, out, err = told
    assert code == 0, err
    return json.loads(out)


def objection(report: Report, stage: str, sentence: str) -> str:
    """What the gate found, which stopped the tick with exactly this sentence before anything was delivered."""
    failed = {gate["stage"]: gate["failed"] for gate in report.gates if not gate["passed"]}
    assert list(failed) == [stage], (failed, report.error)
    (line,) = failed[stage]
    assert line["sentence"] == sentence
    assert report.error == f"{stage}: {sentence}"
    assert "deliver" not in report.stages
    return line["observed"]


def nobody_can_release(home: Home, stage: str) -> None:
    """Neither a person nor a script gets past the gate that said no."""
    with home.ledger() as ledger, pytest.raises(Refusal, match=f"no release: gate {stage} failed"):
        ledger.release("by-hand", MORNING, "demo", REQUIRED_GATES, RELEASE_VALID_FOR, "ana")


# HBO Max, 17 June 2021: a test template went to the real list.


def test_hbo_max_a_test_mail_to_the_real_list_stops_at_the_content_gate(
    make_home: MakeHome, tick: Tick, project: Path, recorder: Recorder
) -> None:
    """Production, a real server, and somebody left the test's subject in the template of the welcome."""
    subject = project / "templates/emails/welcome/default/subject.txt.j2"
    subject.write_text(f"{TEST_MAIL}\n{subject.read_text().splitlines()[1]}\n")
    home = make_home(project=project, **PRODUCTION, **to_the(recorder))

    report = tick(home)

    observed = objection(report, "draft", "No mail looks like a test.")
    assert int(observed.split()[0]) == report.campaigns["welcome"]["send"] >= 5
    assert recorder.lines() == []
    assert states(home)["sent"] == 0
    nobody_can_release(home, "draft")
    assert verified(home, {})


def test_hbo_max_a_test_mail_past_every_gate_reaches_the_canary_and_nobody_else(
    make_home: MakeHome, call: Call, recorder: Recorder
) -> None:
    """The first fifty are watched for half an hour: time enough for a person to see what they got, and to pull the switch."""
    home = make_home(allow_list="@customer.example", **to_the(recorder))
    released(home, 400, TEST_MAIL, home.flow.canary)

    first, again = answer(call("deliver", "--json")), answer(call("deliver", "--json"))
    assert call("kill", "--reason", "a test mail", "--by", "ana")[0] == 0
    killed = answer(call("deliver", "--json"))

    assert (first["sent"], again["sent"], killed["sent"]) == (50, 0, 0)
    assert states(home) == {"sent": 50, "approved": 350}
    with home.ledger() as ledger:
        accepted = recorder.accepted(ledger)
    assert sorted(accepted.values()) == [1] * 50
    assert verified(home, accepted)


def test_hbo_max_the_last_look_before_the_transport_cancels_a_test_mail(
    make_home: MakeHome, call: Call, recorder: Recorder
) -> None:
    """Whatever let it come so far: the bytes of each mail are read once more by other code, and this one is nobody's."""
    home = make_home(**PRODUCTION, **to_the(recorder))
    released(home, 40, TEST_MAIL)

    told = answer(call("deliver", "--json"))

    assert (told["sent"], told["unbuildable"]) == (0, {"lint_test_wording": 40})
    assert recorder.lines() == []
    with home.ledger() as ledger:
        ends = {(one.state, one.state_reason) for one in ledger.messages()}
    assert ends == {("cancelled", "unbuildable:lint_test_wording")}
    assert verified(home, {})


# New York Times, 28 December 2011: meant for 300 people, sent to 8.6 million.


def test_new_york_times_an_offer_for_the_few_who_left_does_not_go_to_everybody(
    today: MakeHome, tick: Tick, call: Call, project: Path, recorder: Recorder
) -> None:
    """The win-back offer loses the lines that pick those who stayed away: sixty times yesterday's audience."""
    edit(
        project / TRIGGERS / "int_triggers__winback.sql",
        ("last_seen_at + interval '28 days' as triggered_at", "activated_at as triggered_at"),
        ("coalesce(last_seen_at + interval '28 days' <= {{ as_of() }}, false)", "true"),
        ("coalesce(last_seen_at + interval '42 days' > {{ as_of() }}, false)", "true"),
    )
    home = today(project=project, **PRODUCTION, **to_the(recorder))
    before = states(home)

    report = tick(home, MORNING)

    observed = objection(report, "decide", "No campaign is more than 5 times as large as usual.")
    found = re.fullmatch(r"winback (\d+) against (\d+) \((\d+)\.\d times\)", observed)
    assert found, observed
    assert int(found[1]) > 500
    assert int(found[3]) > 50
    nobody_can_release(home, "decide")
    assert answer(call("deliver", "--json"))["sent"] == 0
    assert recorder.lines() == []
    assert states(home) == before
    assert verified(home)


# Shutterfly, 14 May 2014: congratulations on a new baby, far beyond those who had one.


def test_shutterfly_congratulations_to_three_times_as_many_wait_for_a_person(
    today: MakeHome, tick: Tick, project: Path
) -> None:
    """Those of the last ten days instead of the last three. The campaign waits, the others go out; a person says no."""
    edit(project / TRIGGERS / "int_triggers__first_value.sql", ("interval '3 days'", "interval '10 days'"))
    home = today(project=project)
    before, congratulated = outbox(home), states(home, "first_value")["sent"]

    report = tick(home, MORNING)

    assert report.error is None
    (warning,) = next(gate["warnings"] for gate in report.gates if gate["stage"] == "decide")
    assert warning["sentence"] == "Every campaign is 0.5 to 2 times as large as usual."
    assert warning["campaigns"] == ["first_value"]
    assert states(home, "first_value") == {"sent": congratulated, "in_review": report.campaigns["first_value"]["send"]}
    assert len(outbox(home) - before) == report.deliveries["sent"] > 10, "the other campaigns"
    too_late = [row for row in home.decisions(MORNING) if row["campaign_id"] == "first_value"]
    assert sum(row["reason"] == "expired" for row in too_late) > 20, "most had lost their occasion anyway"
    decide(home, ["first_value"], "reject", "ana", "they are no news")
    assert states(home, "first_value").keys() == {"sent", "cancelled"}
    assert states(home, "first_value")["sent"] == congratulated
    assert verified(home)


def test_shutterfly_a_trigger_that_forgets_one_of_its_conditions_is_refused_by_check(
    make_home: MakeHome, project: Path
) -> None:
    """Each row meets its trigger: the last `where` joins every condition, or the campaign isn't fit to run."""
    edit(project / TRIGGERS / "int_triggers__first_value.sql", ("is_activated and is_activated_lately", "is_activated"))

    told = check(make_home(project=project), with_settings=False)

    assert not told["ok"]
    assert [line for line in told["problems"] if "first_value: the last where leaves out is_activated_lately" in line]


# Buffalo, UC San Diego 2009, Berkeley Law: "welcome" to every applicant; the last of them from a training.


def test_san_diego_a_welcome_to_everybody_in_the_database_stops_at_the_share_of_the_base(
    make_home: MakeHome, tick: Tick, company: Path, recorder: Recorder
) -> None:
    """A migration stamps every person as new, in one zone. The home's first tick, so there is no usual size to compare with."""
    users = company / "users.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table people as select * from '{users}'")
        connection.execute("update people set created_at = timestamp '2026-08-31 20:00:00', timezone = 'UTC'")
        connection.execute(f"copy people to '{users}' (format parquet)")
    home = make_home(data=company, **PRODUCTION, **to_the(recorder))

    report = tick(home, MORNING)

    observed = objection(report, "decide", "One tick mails at most 20 % of the people we may contact.")
    found = re.fullmatch(r"([\d,]+) of ([\d,]+) people \((\d+)\.\d %\)", observed)
    assert found, observed
    assert int(found[3]) >= 20
    nobody_can_release(home, "decide")
    assert recorder.lines() == []
    assert not states(home)
    assert verified(home, {})


def test_berkeley_law_a_training_with_the_real_list_reaches_the_trainer_alone(
    make_home: MakeHome, call: Call, recorder: Recorder
) -> None:
    """The real list, the real server, everything approved: outside production the lock at the transport stands before all."""
    home = make_home(allow_list="user0@customer.example", **to_the(recorder))
    released(home, 40)

    told = answer(call("deliver", "--json"))

    assert (told["sent"], told["rejected"]) == (1, 39)
    with home.ledger() as ledger:
        accepted = recorder.accepted(ledger)
        words = {ledger.story(f"m{number:05}")["attempts"][-1]["detail"] for number in range(1, 40)}
    assert accepted == {"m00000": 1}
    assert words == {"not_on_allow_list"}
    assert states(home) == {"sent": 1, "rejected": 39}
    assert verified(home, accepted)


def test_berkeley_law_a_training_with_a_large_list_is_paused_by_the_breaker_as_well(
    make_home: MakeHome, call: Call, recorder: Recorder
) -> None:
    home = make_home(allow_list="trainer@customer.example", **to_the(recorder))
    released(home, 700)

    told = answer(call("deliver", "--json"))

    assert told["sent"] == 0
    assert recorder.lines() == []
    with home.ledger() as ledger:
        (control,) = ledger.controls()
    assert (control.name, control.campaign_id, control.actor) == ("pause", "welcome", "breaker")
    assert states(home).keys() == {"rejected", "approved"}
    assert verified(home, {})


# SafeBase and Courier, 29 August 2023: storage timed out, mails were not marked as delivered, and were sent again in a loop.


@pytest.mark.parametrize("has_note", [True, False], ids=["the same machine", "another machine"])
def test_safebase_what_storage_could_not_mark_as_delivered_is_never_sent_again(
    postgresql_url: str, tmp_path: Path, has_note: bool
) -> None:
    """The ledger stalls in the middle of a campaign; the worker is started again and again, before and after it heals.

    On its own machine the worker's note says what went out; elsewhere it is in doubt until somebody says so.
    """
    url = new_database(postgresql_url, f"safebase_{has_note}".lower())
    release(url, 150)  # more than one group
    impatient = f"{url}?options=-clock_timeout%3D300"

    def stall(_key: str, number: int) -> bool:
        if number == 10:
            storage.execute("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE")
        return True

    with psycopg.connect(url) as storage, Sink(stall) as sink:

        def work() -> tuple[int, dict[str, Any], str]:
            command = [sys.executable, str(WORKER), impatient, str(sink.port), str(LEASE_SECONDS)]
            command += [str(tmp_path / "notes")] if has_note else []
            process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            return process.returncode, json.loads(process.stdout or "{}"), process.stderr

        code, _, err = work()
        assert code != 0
        assert "lock timeout" in err
        unmarked = dict(sink.kept)
        assert 10 <= len(unmarked) < 150
        for _ in range(2):  # a supervisor starts it again
            time.sleep(LEASE_SECONDS)
            assert work()[0] != 0
        with open_ledger(impatient, utc_now) as ledger:
            assert Counter(one.state for one in ledger.messages())["sending"] == len(unmarked)
            assert ledger.kill("ana", "a resend loop?"), "the switch works while other tables stall"
        storage.rollback()
        assert work()[1]["sent"] == 0, "stopped by the switch"
        with open_ledger(url, utc_now) as ledger:
            ledger.resume(None, "ana", "storage is back")
        assert [work()[1]["sent"] for _ in range(3)] == [150 - len(unmarked), 0, 0]
        assert sink.kept == dict.fromkeys((f"m{number:05}" for number in range(150)), 1)
        with open_ledger(url, utc_now) as ledger:
            in_doubt = {one.message_id: one.reason for one in ledger.unknown()}
            assert in_doubt == ({} if has_note else dict.fromkeys(unmarked, "worker_lost"))
            assert ledger.verify(dict(sink.kept))["ok"]
            ledger.settle(dict.fromkeys(in_doubt, "sent"), "ana", "in the provider's log", utc_now())
            assert {one.state for one in ledger.messages()} == {"sent"}
            assert ledger.verify(dict(sink.kept))["ok"]


# JomaBlue; TargetX, January 2024: a watchdog, or a person, started a slow campaign once more.


def test_targetx_a_slow_campaign_that_is_started_again_and_again_goes_out_once(
    make_home: MakeHome, recorder: Recorder, project: Path
) -> None:
    """The watchdog takes slow for dead and starts another; a person ends the first and starts one more."""
    (project / "delivery.yml").write_text("channels: {smtp: 60/second}\n")
    home = make_home(project=project, allow_list="@customer.example", **to_the(recorder))
    released(home, 400)

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dagster_project.cli", "deliver", "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)

    started = [start()]
    while not recorder.lines():
        time.sleep(0.01)
    started += [start() for _ in range(3)]
    time.sleep(1)
    started[0].send_signal(signal.SIGTERM)
    started[0].wait(timeout=60)
    at_the_signal = len(recorder.lines())
    started.append(start())
    told = [process.communicate(timeout=120)[0] for process in started[1:]]

    assert at_the_signal < 400, "it was stopped in the middle, or this proves nothing"
    assert sum(json.loads(out)["sent"] for out in told) <= 400
    with home.ledger() as ledger:
        accepted = recorder.accepted(ledger)
    assert accepted == dict.fromkeys((f"m{number:05}" for number in range(400)), 1)
    assert states(home) == {"sent": 400}
    assert verified(home, accepted)


# Eight application servers each ran the schedule: eight copies to everybody, for weeks.


def test_eight_schedulers_on_two_hosts_fire_at_once_and_everybody_is_mailed_once(
    make_home: MakeHome, postgresql_url: str, tmp_path: Path
) -> None:
    """Each host runs one tick and refuses the other three; what both hosts decide is one message in the ledger they share."""
    url = new_database(postgresql_url, "hosts")
    hosts = [make_home(home=tmp_path / name, ledger_url=url, secret_keys="k" * 32) for name in ("one", "two")]
    command = [sys.executable, "-m", "dagster_project.cli", "run", "--as-of", f"{MORNING.isoformat()}Z", "--json"]
    fired = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"POSTRIDER_HOME": str(host.path)},
        )
        for _ in range(4)
        for host in hosts
    ]
    ends = [(*process.communicate(timeout=200), process.returncode) for process in fired]

    refused = [err for _, err, code in ends if code == 2]
    assert len(refused) == 6
    assert all("a tick is running" in err and "one at a time" in err for err in refused)
    errors = [json.loads(out)["error"] for out, _, code in ends if code != 2]
    assert len(errors) == 2
    assert None in errors
    # A host may find the other one in the middle of its work, and stops: a false alarm, and nobody is mailed by it.
    assert not [one for one in errors if one and not re.search("left half sent|only a drafted one is routed", one)]
    mailed = [file.stem for host in hosts for file in host.outbox.rglob("*.eml")]
    assert len(mailed) == len(set(mailed)) > 100
    assert states(hosts[0])["sent"] == len(mailed)
    assert verified(hosts[0], Counter(mailed))


# A missing OFFSET: the same thousand customers again and again.


def test_missing_offset_the_same_page_of_a_thousand_five_times_mails_each_of_them_once(
    make_home: MakeHome, call: Call, recorder: Recorder
) -> None:
    """The key of a message is who, which campaign and which occasion: another page with the same people brings nothing new."""
    home = make_home(allow_list="@customer.example", **to_the(recorder))
    page = released(home, 1000)
    fresh, sent = [], []
    for number in range(5):
        with home.ledger() as ledger:
            fresh.append(ledger.plan(page, f"page-{number}", AS_OF, "demo"))
            ledger.record_drafts([draft(home, message) for message in page], f"page-{number}", AS_OF)
            ledger.record_gate("run-1", AS_OF, "decide", True, [])
            ledger.release("run-1", AS_OF, "demo", ["decide"], RELEASE_VALID_FOR, "policy")
        sent.append(answer(call("deliver", "--json"))["sent"])

    assert (fresh, sent) == ([0] * 5, [1000] + [0] * 4)
    with home.ledger() as ledger:
        accepted = recorder.accepted(ledger)
    assert accepted == dict.fromkeys((message.message_id for message in page), 1)
    assert verified(home, accepted)


def test_missing_offset_the_same_people_under_a_new_key_each_hour_are_stopped_by_reentry_and_cap(
    today: MakeHome, tick: Tick, project: Path
) -> None:
    """The welcome's occasion becomes the hour, so that no key is known: policy still remembers the person."""
    edit(
        project / TRIGGERS / "int_triggers__welcome.sql",
        ("'signup' as occurrence_key", "strftime({{ as_of() }}, '%Y-%m-%dT%H') as occurrence_key"),
    )
    home = today(project=project)
    with home.ledger() as ledger:
        welcomed = {one.user_id for one in ledger.messages() if one.campaign_id == "welcome" and one.state == "sent"}
    assert len(welcomed) >= 5

    report = tick(home, MORNING - timedelta(hours=23))

    assert report.error is None
    again = [
        row
        for row in home.decisions(MORNING - timedelta(hours=23))
        if row["campaign_id"] == "welcome" and row["user_id"] in welcomed
    ]
    assert {row["user_id"] for row in again} == welcomed, "they qualify again"
    assert {(row["verdict"], row["reason"]) for row in again} == {("suppress", "already_sent_campaign")}
    assert all("frequency_capped" in json.loads(row["reasons_all"]) for row in again)
    with home.ledger() as ledger:
        mails = Counter(one.user_id for one in ledger.messages() if one.campaign_id == "welcome")
    assert max(mails.values()) == 1
    assert verified(home)


# CM.com, 8 January 2026: for two and a half hours requests were answered with success and thrown away.


def test_cm_com_what_a_provider_accepted_and_threw_away_is_named_by_its_own_count(
    make_home: MakeHome, call: Call
) -> None:
    """Each mail was durable here before there could be a success, so every lost one is known by name once the provider counts."""
    rows: list[tuple[str, int]] = []

    def discard(key: str, number: int) -> bool:
        with home.ledger() as ledger:
            (message,) = ledger.messages(message_ids=[key])
            rows.append((message.state, ledger.story(key)["attempts"][-1]["bytes"]))
        return number <= 5

    with Sink(discard) as sink:
        home = make_home(allow_list="@customer.example", **to_the(sink))
        released(home, 20)
        told = answer(call("deliver", "--json"))

    assert told["sent"] == 20, "as far as anybody could tell"
    assert {state for state, _ in rows} == {"sending"}
    assert len(rows) == 20
    assert all(size for _, size in rows), "with its bytes"
    assert len(sink.kept) == 5
    assert verified(home), "what was said is what is written"
    with home.ledger() as ledger:
        report = ledger.verify(dict(sink.kept))
        queued = {ledger.story(f"m{number:05}")["attempts"][-1]["provider_id"] for number in range(20)}
    (wrong,) = [one for one in report["invariants"] if not one["ok"]]
    assert wrong["id"] == "I3"
    assert wrong["detail"].startswith("m00005 is sent, the sink accepted it 0 times")
    assert wrong["detail"].endswith("and 10 more"), "15 of them"
    assert queued == {f"Q{number}" for number in range(1, 21)}, "by which the provider can look each up"
