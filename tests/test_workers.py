"""`postrider deliver` and `reconcile`: several processes, one ledger, and what a person does about what is in doubt."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dagster_project import workers
from dagster_project.adapters.delivering import Counts
from dagster_project.adapters.notes import noting, what_is_known
from dagster_project.home import Home
from dagster_project.ledger import repeats
from dagster_project.lifecycle.errors import Refusal
from dagster_project.workers import Job, deliver_with, together
from tests.http_server import Request, Scripted, reply
from tests.released import Recorder, release

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recorder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Recorder]:
    with Recorder(tmp_path / "record", *getattr(request, "param", ())) as server:
        yield server


@pytest.fixture
def released(make_home: Callable[..., Home], recorder: Recorder) -> Callable[[int], Home]:
    """A home with so many released messages, whose channel is the recording server."""

    def make(count: int, **settings: object) -> Home:
        home = make_home(
            **{
                "channel": "smtp",
                "smtp_url": f"smtp://127.0.0.1:{recorder.port}?starttls=never",
                "allow_list": "@customer.example",
            }
            | settings
        )
        home.prepare()
        release(home.settings.ledger_location, count)
        return home

    return make


def answer(told: tuple[int, str, str]) -> Any:
    code, out, err = told
    assert code == 0, err
    return json.loads(out)


def await_first(recorder: Recorder) -> None:
    give_up = time.monotonic() + 60
    while not recorder.lines():
        assert time.monotonic() < give_up, "no mail in a minute"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.slow
def test_so_many_workers_send_each_message_once(
    released: Callable[[int], Home], call: Call, recorder: Recorder, workers: int
) -> None:
    home = released(300)

    told = answer(call("deliver", "--workers", workers, "--json"))

    assert (told["sent"], told["ended_by"], told["in_doubt"]) == (300, "nothing_due", 0)
    assert told["per_second"] > 0
    with home.ledger() as ledger:
        assert set(recorder.accepted(ledger).values()) == {1}
        assert len(recorder.accepted(ledger)) == 300
        assert ledger.verify(recorder.accepted(ledger))["ok"]
    assert answer(call("deliver", "--json"))["sent"] == 0


@pytest.mark.slow
def test_a_terminated_call_lets_its_workers_end_what_is_in_flight(
    released: Callable[[int], Home], recorder: Recorder
) -> None:
    home = released(3000)
    command = [sys.executable, "-m", "dagster_project.cli", "deliver", "--workers", "3", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    await_first(recorder)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)

    assert json.loads(out)["ended_by"] == "SIGTERM"
    with home.ledger() as ledger:
        states = Counter(message.state for message in ledger.messages())
        assert set(states) == {"sent", "approved"}, "nothing is in doubt, nothing is held"
        assert ledger.verify(recorder.accepted(ledger))["ok"]


@pytest.mark.slow
def test_workers_whose_parent_is_killed_stop_by_themselves(released: Callable[[int], Home], recorder: Recorder) -> None:
    home = released(3000)
    command = [sys.executable, "-m", "dagster_project.cli", "deliver", "--workers", "3", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    await_first(recorder)
    process.kill()
    process.communicate(timeout=60)  # its workers hold the pipe open: this is their end too

    with home.ledger() as ledger:
        states = Counter(message.state for message in ledger.messages())
        assert set(states) == {"sent", "approved"}
        assert ledger.verify(recorder.accepted(ledger))["ok"]


def lose_the_second(*_: object) -> None:
    """In place of a worker: the first ends well, the second as if the kernel had taken its memory."""
    os._exit(137 if multiprocessing.current_process().name.endswith("-1") else 0)


def test_a_lost_worker_is_named_with_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, make_home: Callable[..., Home]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent)  # the processes import the function by its name
    monkeypatch.setattr("dagster_project.workers._worker", lose_the_second)

    with pytest.raises(
        Refusal, match=r"^postrider-worker-1 ended with code 137; what they held is free in two minutes$"
    ):
        deliver_with(2, Job(make_home().settings, None))


def test_without_a_tick_there_is_nothing_to_deliver(make_home: Callable[..., Home], call: Call) -> None:
    make_home()

    code, _, err = call("deliver")

    assert code == 2
    assert "no tick of the pack demo yet" in err


def leave_a_note(home: Home, worker: str) -> None:
    """As a worker does that is killed."""
    with contextlib.suppress(KeyboardInterrupt), noting(home.notes, worker):
        raise KeyboardInterrupt


@pytest.mark.parametrize("command", ["deliver", "reconcile"])
def test_a_note_goes_when_nothing_is_in_doubt_because_of_its_worker(
    released: Callable[..., Home], call: Call, command: str
) -> None:
    home = released(2, channel="outbox")
    leave_a_note(home, "killed")
    leave_a_note(home, "long ago")
    with home.ledger() as ledger:
        assert len(ledger.claim("killed", 1, 120)) == 1

    answer(call(command, "--json"))
    assert what_is_known(home.notes, [("m1", "killed"), ("m2", "long ago")]) == {"m1": "not_sent"}
    with home.ledger() as ledger:
        assert ledger.release_claims("killed") == 1

    answer(call(command, "--json"))
    assert list(home.notes.iterdir()) == []


@pytest.mark.parametrize("recorder", [("--fault", "dot:lost:2")], indirect=True)
def test_what_is_in_doubt_is_listed_and_settled_on_somebodys_word(
    released: Callable[[int], Home], call: Call, recorder: Recorder
) -> None:
    home = released(3)
    assert answer(call("deliver", "--json"))["in_doubt"] == 1

    (doubtful,) = answer(call("reconcile", "--json"))["in_doubt"]
    assert doubtful["message_id"] == "m00001"
    assert doubtful["header_message_id"] in recorder.lines()[1]
    assert doubtful["recipient"] == "user1@customer.example"
    assert "m00001" in call("reconcile")[1]

    for arguments in (["--as", "sent"], ["m00001"], ["m00001", "--as", "perhaps"], ["m00001", "--as", "sent"]):
        code, _, err = call("reconcile", *arguments)
        assert (code, "allowed:" in err) == (2, True), arguments
    told = answer(call("reconcile", "m00001", "--as", "sent", "--by", "ana", "--evidence", "journal", "--json"))
    assert (told["settled"], told["in_doubt"]) == ({"by_you": 1}, [])
    code, _, err = call("reconcile", "m00001", "--as", "sent", "--by", "ana", "--evidence", "journal")
    assert (code, "not unknown" in err) == (1, True)
    with home.ledger() as ledger:
        assert ledger.verify(recorder.accepted(ledger))["ok"]


@pytest.mark.parametrize("recorder", [("--fault", "dot:lost:2", "--fault", "dot:lost:4")], indirect=True)
def test_what_the_provider_says_of_its_mails_settles_those_in_doubt(
    released: Callable[[int], Home], call: Call, recorder: Recorder, tmp_path: Path
) -> None:
    home = released(4)
    assert answer(call("deliver", "--json"))["in_doubt"] == 2
    doubtful = answer(call("reconcile", "--json"))["in_doubt"]
    accepted, refused = (one["header_message_id"] for one in doubtful)
    file = tmp_path / "events.jsonl"

    def told(*rows: tuple[str, str]) -> str:
        events = [{"message_id": mail, "event": name, "at": "2100-01-01T00:00:00Z"} for mail, name in rows]
        file.write_text("\n".join(map(json.dumps, events)) + "\n\n")
        return str(file)

    code, _, err = call("reconcile", "--events", told((accepted, "delivered"), (refused, "vanished")))
    assert (code, f"{file}:2: event: found 'vanished'" in err) == (2, True)
    assert len(answer(call("reconcile", "--json"))["in_doubt"]) == 2, "a line that can't be read settles nothing at all"
    for arguments in (["m00001", "--events", str(file)], ["--by-key", "--events", str(file)], ["--events", "nowhere"]):
        code, _, err = call("reconcile", *arguments)
        assert (code, "allowed: " in err) == (2, True), arguments
    file.write_bytes(b"\xff\xfe")
    assert call("reconcile", "--events", str(file))[0] == 2

    answers = answer(
        call(
            "reconcile", "--json", "--events", told((accepted, "bounced"), (refused, "rejected"), ("<else@x>", "sent"))
        )
    )
    assert (answers["settled"], answers["in_doubt"]) == ({"by_event": 2}, [])
    with home.ledger() as ledger:
        assert [row.state for row in ledger.messages()] == ["sent", "sent", "sent", "rejected"]
        assert ledger.story("m00001")["events"][-1]["actor"] == "provider"
        assert ledger.verify(recorder.accepted(ledger) | {"m00003": 0})["ok"]


def test_the_outbox_settles_its_own_doubts(released: Callable[..., Home], call: Call) -> None:
    """Whether a file was written is plain from whether it is there."""
    home = released(2, channel="outbox")
    assert answer(call("deliver", "--json"))["sent"] == 2
    with home.ledger() as ledger:
        database = ledger._database
        with database.write() as write:  # as if the worker had been killed before it could say so
            write.connection.exec_driver_sql(
                "UPDATE messages SET state = 'unknown', sent_as_of = NULL WHERE message_id = 'm00000'"
            )

    assert answer(call("reconcile", "--json"))["settled"] == {"by_outbox": 1}


@pytest.fixture
def provider() -> Iterator[Scripted]:
    """Takes keys as Resend does, says nothing to the first request of each, and repeats itself to the others."""
    seen: Counter[str] = Counter()

    def answer(request: Request) -> bytes | str:
        key = request.headers["idempotency-key"]
        seen[key] += 1
        return reply(502) if seen[key] == 1 else reply(200, json.dumps({"id": f"re-{key}"}).encode())

    with Scripted(good=answer) as server:
        yield server


def resend(server: Scripted, **changed: object) -> dict[str, object]:
    return {
        "channel": "esp",
        "esp": "resend",
        "esp_settings": "api_key=re_12345678",
        "esp_url": f"http://{server.label}/",
    } | changed


def test_a_provider_is_asked_by_key_before_the_command_ends(
    released: Callable[..., Home], call: Call, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "FIRST_PAUSE", timedelta(seconds=0.2))
    home = released(2, **resend(provider))

    told = answer(call("deliver", "--json"))

    assert (told["unknown"], told["by_key"], told["in_doubt"], told["ended_by"]) == (2, {"sent": 2}, 0, "nothing_due")
    assert len(provider.requests) == 4
    with home.ledger() as ledger:
        assert ledger.verify({"m00000": 1, "m00001": 1})["ok"]


def test_a_doubt_that_falls_due_while_its_worker_is_slow_is_settled_too(
    released: Callable[..., Home], call: Call, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its last look at what is due and the question whether to wait for something."""
    monkeypatch.setattr(repeats, "FIRST_PAUSE", timedelta(seconds=0.2))
    at_once = workers.deliver

    def slowly(*given: Any, **named: Any) -> Any:
        counts = at_once(*given, **named)
        time.sleep(0.5)
        return counts

    monkeypatch.setattr(workers, "deliver", slowly)
    home = released(1, **resend(provider))

    told = answer(call("deliver", "--json"))

    assert (told["unknown"], told["by_key"], told["in_doubt"], told["ended_by"]) == (1, {"sent": 1}, 0, "nothing_due")
    with home.ledger() as ledger:
        assert ledger.verify({"m00000": 1})["ok"]


def test_nobody_waits_for_what_a_switch_stops(
    released: Callable[..., Home], call: Call, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = released(1, **resend(provider))
    monkeypatch.setattr(workers, "DOUBT_SECONDS", 0.0)
    assert answer(call("deliver", "--json"))["in_doubt"] == 1
    monkeypatch.setattr(workers, "DOUBT_SECONDS", 30.0)
    monkeypatch.setattr(repeats, "FIRST_PAUSE", timedelta(0))
    with home.ledger() as ledger:
        ledger.kill("ana", "wrong audience")

    started = time.monotonic()
    assert answer(call("deliver", "--json"))["in_doubt"] == 1

    assert time.monotonic() - started < 25
    assert len(provider.requests) == 1


def test_a_person_asks_the_provider_by_key(
    released: Callable[..., Home], call: Call, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed with whether and until when; another account has never heard of it; a word and the key are two things."""
    monkeypatch.setattr(workers, "DOUBT_SECONDS", 0.0)
    home = released(3, **resend(provider))
    code, out, _ = call("deliver", "--json")
    assert (code, json.loads(out)["in_doubt"], json.loads(out)["ended_by"]) == (1, 3, "channel_down")

    listed = answer(call("reconcile", "--json"))["in_doubt"]
    started = datetime.fromisoformat(listed[0]["started_at"].removesuffix("Z"))
    until = datetime.fromisoformat(listed[0]["by_key"]["until"].removesuffix("Z"))
    assert (listed[0]["by_key"]["obstacle"], until - started) == (None, timedelta(hours=16))
    assert "can be asked until" in call("reconcile")[1]
    assert "postrider reconcile --by-key" in call("reconcile")[1]

    code, _, err = call("reconcile", "m00000", "--by-key", "--as", "sent")
    assert (code, "allowed: one of them" in err) == (2, True)
    code, _, err = call("reconcile", "m99999", "--by-key")
    assert (code, "m99999 is not in doubt" in err) == (1, True)
    monkeypatch.setenv("POSTRIDER_ESP_SETTINGS", "api_key=re_87654321")
    told = answer(call("reconcile", "--by-key", "--json"))
    assert (told["settled"], {one["by_key"]["obstacle"] for one in told["in_doubt"]}) == ({}, {"other_transport"})
    assert "it went by another transport" in call("reconcile")[1]
    monkeypatch.setenv("POSTRIDER_ESP_SETTINGS", "api_key=re_12345678")

    assert answer(call("reconcile", "m00001", "--by-key", "--by", "ana", "--json"))["settled"] == {"sent_by_key": 1}
    with home.ledger() as ledger:
        assert ledger.story("m00001")["events"][-1]["actor"] == "ana"
        ledger.suppress(reason="unsubscribed", actor="web", user_id="u2")
    told = answer(call("reconcile", "--by-key", "--json"))
    assert (told["settled"], [one["by_key"]["obstacle"] for one in told["in_doubt"]]) == (
        {"sent_by_key": 1},
        ["suppressed"],
    )
    with home.ledger() as ledger:
        assert ledger.verify()["ok"]


@pytest.mark.parametrize(("policy", "state"), [("resend", "approved"), ("hold", "unknown")])
def test_after_three_days_the_policy_says_what_becomes_of_what_no_key_could_settle(
    released: Callable[..., Home],
    call: Call,
    provider: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    state: str,
) -> None:
    monkeypatch.setattr(workers, "DOUBT_SECONDS", 0.0)
    monkeypatch.setattr(Home, "policies", {"welcome": SimpleNamespace(on_unknown=policy, model_budget=None)})
    home = released(1, **resend(provider))
    assert answer(call("deliver", "--json"))["in_doubt"] == 1
    assert answer(call("reconcile", "--json"))["settled"] == {}, "not before"

    with home.ledger() as ledger, ledger._database.write() as write:
        write.connection.exec_driver_sql("UPDATE attempts SET started_at = '2026-01-01 09:00:00.000000'")
    assert answer(call("reconcile", "--by-key", "--json"))["settled"] == (
        {"by_policy": 1} if policy == "resend" else {}
    )

    assert len(provider.requests) == 1, "its key may be forgotten: nobody was asked"
    with home.ledger() as ledger:
        assert ledger.messages()[0].state == state
        assert ledger.verify()["ok"]


def test_counts_of_several_workers_add_up() -> None:
    parts = [
        Counts({"sent": 2, "deferred": 1}, {"paused": 1}, {}, "nothing_due", 1.5),
        Counts({"sent": 3}, {"paused": 2}, {"address_unusable": 1}, "killed", 2.5, {"sent": 1}),
    ]

    assert together(parts) == Counts(
        {"sent": 5, "deferred": 1}, {"paused": 3}, {"address_unusable": 1}, "killed", 2.5, {"sent": 1}
    )
    assert together(parts, "SIGINT").ended_by == "SIGINT"
    assert together([]).ended_by == "nothing_due"
