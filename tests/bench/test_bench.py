"""The benchmark measures what it says: every mail once, a ratio within its repetition, everything in its JSON. Never how fast."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import arbitrate, cases, claim, decide, deliver, hosts, report, results
from bench.own_sink import OwnSink
from bench.servers import LOOPBACK

ROOT = Path(__file__).parent.parent.parent
SIZES = {"messages": 200, "sample": 40, "naive": 20, "naive_dkimpy": 5}
SENDING = ("transport", "rsa", "ed25519", "unsigned", "shares")
SPREAD = {"median", "min", "max"}


@pytest.mark.slow
def test_a_short_run_accounts_for_every_message_and_names_its_machine(tmp_path: Path) -> None:
    """One repetition of everything that needs no postfix, over the sink that counts. One test, for it takes half a minute."""
    document = deliver.measure(tmp_path, list(deliver.PLANS), 1, SIZES, 2, "own")

    every_message_was_accepted_once(document["repetitions"][0]["cases"])
    the_json_is_whole(document)
    the_table_is_whole(document)


def every_message_was_accepted_once(found: dict[str, Any]) -> None:
    for name in SENDING:
        assert (found[name]["messages"], found[name]["outcomes"]) == (200, {"sent": 200}), name
        assert found[name]["sink"]["accepted"] == 200, name
        assert name == "transport" or found[name]["sink"]["distinct"] == 200, name
    assert found["naive"]["sink"] == {"accepted": 20, "distinct": 20, "refused": 0}
    assert found["remote"]["sink"] == {"accepted": 38, "distinct": 38, "refused": 2}
    assert sum(found["remote"]["outcomes"].values()) == 40


def the_json_is_whole(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document)) == document
    assert {"cpu", "cores", "kernel", "python", "sqlite", "bytecode", "versions"} <= document["machine"].keys()
    assert socket.gethostname() not in document["machine"].values()
    assert [one["number"] for one in document["repetitions"]] == [1]
    assert set(document["repetitions"][0]["cases"]) == set(deliver.PLANS)
    for name, found in document["summary"].items():
        assert "skipped" in found or name == "micro" or found["per_second"].keys() == SPREAD, name
    assert "postfix" in document["summary"][results.ANCHOR]["skipped"]
    assert {"render", "build", "sign_rsa", "bare_rsa", "render_and_build"} <= document["steps_us"].keys()
    assert {"turn", "mail", "send", "rest"} <= document["parts_us"]["shares"].keys()
    found = {one["goal"]: one["found"] for one in document["goals"]}
    assert found["transport alone, of smtp-source"] is None, "there was no smtp-source"
    assert found["whole job, times the naive script without DKIM"].keys() == SPREAD
    assert 0 < document["repetitions"][0]["cases"]["shares"]["ledger_share"] < 1


def the_table_is_whole(document: dict[str, Any]) -> None:
    text = report.markdown(document, {name: plan.title for name, plan in deliver.PLANS.items()})

    for plan in (plan for name, plan in deliver.PLANS.items() if name != "micro"):
        assert f"| {plan.title} |" in text
    for goal in results.GOALS:
        assert f"| {goal.name} |" in text
    assert str(ROOT) not in text


@pytest.mark.slow
def test_a_released_audience_is_claimed_whole(tmp_path: Path) -> None:
    order = cases.Order("", 500, 2, draft_octets=200, at_once=50, most_seconds=300)

    document = claim.measure(tmp_path, order, 2)

    assert [one["messages"] for one in document["repetitions"]] == [500, 500]
    assert "seconds for 500 messages" in claim.markdown(document)


@pytest.mark.slow
def test_deciding_is_measured_beside_reading_and_beside_pandas(tmp_path: Path) -> None:
    """`measure` itself refuses verdicts that differ between two runs, and activity of pandas that differs from the models'."""
    document = decide.measure(tmp_path, {20_000: 1, 30_000: 1}, 2)

    assert json.loads(json.dumps(document)) == document
    assert list(tmp_path.iterdir()) == []
    for found in document["sizes"]:
        (repetition,) = found["repetitions"]
        ran = {name for name, figures in repetition["cases"].items() if "skipped" not in figures}
        assert ran >= set(decide.PLANS) - {"polars"}
        assert repetition["cases"]["scan"]["rows"] == found["events"]
        assert repetition["cases"]["activity"]["rows"] == found["users"]
        assert repetition["cases"]["decide"]["rows"] > 0
    goals = {one["goal"]: one["each"] for one in document["goals"]}
    assert len(goals["growth of time, exponent"]) == 1
    text = decide.markdown(document)
    for plan in decide.PLANS.values():
        assert f"| {plan.title} |" in text
    assert str(ROOT) not in text


def test_growth_in_proportion_has_the_exponent_one() -> None:
    sizes = [
        {"events": 10, "seconds": 3.0},
        {"events": 1_000, "seconds": 300.0},
        {"events": 10_000, "seconds": 3_000.0},
    ]

    assert decide.exponent(sizes, lambda size: size["seconds"]) == [pytest.approx(1.0)]
    assert decide.exponent(sizes, lambda size: 7.0) == [0.0]
    assert decide.exponent(sizes[:1], lambda size: size["seconds"]) == []


def test_activity_that_differs_is_found(tmp_path: Path) -> None:
    """One user of two with another day: two rows, for each side has one that the other lacks."""
    import duckdb

    columns = "7, 7, 7, 7, 7, 7, false, null, null, null"
    names = "user_id, " + ", ".join(decide.activity.COLUMNS)
    for file, seen in (("ours", 1), ("theirs", 2)):
        rows = f"select * from (values ('a', {columns}, timestamp '2026-09-01'), ('b', {columns}, timestamp '2026-09-0{seen}'))"
        duckdb.connect().execute(f"copy (select * from ({rows}) as t({names})) to '{tmp_path / file}' (format parquet)")

    assert decide._differences(str(tmp_path / "ours"), str(tmp_path / "theirs")) == 2
    assert decide._differences(str(tmp_path / "ours"), str(tmp_path / "ours")) == 0


@pytest.mark.slow
def test_one_host_and_two_send_the_same_messages_once() -> None:
    """`measure` itself refuses a message that was lost or came twice."""
    try:
        document = hosts.measure(100, 1, 1)
    except (hosts.NoHostsError, hosts.NoPostgreSQLError) as missing:
        pytest.skip(str(missing))

    (repetition,) = document["repetitions"]
    assert {name: found["messages"] for name, found in repetition["cases"].items()} == dict.fromkeys(hosts.PLANS, 100)
    assert repetition["cases"]["one"]["share"] == 1
    assert json.loads(json.dumps(document)) == document
    for plan in hosts.PLANS.values():
        assert f"| {plan.title} |" in hosts.markdown(document)


def test_a_ratio_is_taken_within_its_repetition() -> None:
    """A machine that slows down tenfold between two repetitions changes both rates, and must not change their ratio."""
    repetitions = [
        {"cases": {"smtp_source": {"messages": 100, "seconds": 1.0}, "rsa": {"messages": 100, "seconds": 2.0}}},
        {"cases": {"smtp_source": {"messages": 100, "seconds": 10.0}, "rsa": {"messages": 100, "seconds": 20.0}}},
        {"cases": {"smtp_source": {"messages": 100, "seconds": 5.0}, "rsa": {"messages": 100, "seconds": 5.0}}},
    ]

    found = results.summary(repetitions)["rsa"]

    assert found["of_smtp_source"] == {"median": 0.5, "min": 0.5, "max": 1.0}
    assert found["per_second"] == {"median": 20.0, "min": 5.0, "max": 50.0}
    goals = {one["goal"]: one["each"] for one in results.goals(repetitions)}
    assert goals["build + RSA-2048 + ledger + send, of smtp-source"] == [0.5, 0.5, 1.0]


def test_the_naive_script_is_compared_per_message_with_the_whole_job() -> None:
    repetition = {
        "prepare": {"messages": 100, "seconds": 1.0},
        "rsa": {"messages": 100, "seconds": 1.0},
        "naive": {"messages": 10, "seconds": 8.0},
    }

    assert results.job_against(repetition, "naive") == 40.0
    assert results.job_against(repetition, "naive_dkimpy") is None


@pytest.mark.slow
def test_the_sink_counts_and_refuses_every_so_many_th() -> None:
    """Commands come in one piece, as a pipelining sender writes them; a refused recipient leaves DATA without effect."""
    with OwnSink(refuse_every=3) as sink:
        with socket.create_connection((LOOPBACK, sink.port), timeout=10) as client:
            replies = client.makefile("rb")
            envelope = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
            codes = [replies.readline()[:3]]
            for number in range(3):
                client.sendall(envelope)
                codes += [replies.readline()[:3] for _ in range(3)]
                if codes[-1] == b"354":
                    client.sendall(b"Message-ID: <%d@a.example>\r\n\r\n..a\r\n.\r\n" % (number % 2))
                    codes.append(replies.readline()[:3])
            client.sendall(b"QUIT\r\n")

        taken = [b"250", b"250", b"354", b"250"]
        assert codes == [b"220", *taken, *taken, b"250", b"451", b"503"]
        assert sink.counts() == {"accepted": 2, "distinct": 2, "refused": 1}


def test_figures_are_written_between_their_marks(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text("before\n<!-- bench:claim -->\nold\n<!-- /bench:claim -->\nafter\n")

    results.write_between(file, "claim", "| new |")

    assert file.read_text() == "before\n<!-- bench:claim -->\n| new |\n<!-- /bench:claim -->\nafter\n"
    with pytest.raises(SystemExit, match="bench:deliver"):
        results.write_between(file, "deliver", "| new |")


@pytest.mark.parametrize("module", ["bench.deliver", "bench.claim", "bench.hosts", "bench.decide", "bench.draft"])
def test_nothing_is_measured_without_bytecode(module: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 1
    assert "PYTHONDONTWRITEBYTECODE" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.slow
def test_the_orders_of_arbitration_are_compared_by_what_their_messages_truly_do(tmp_path: Path) -> None:
    """Eight days of a small company whose ticks may send five messages. Some 35 messages can't tell which order is better; that by
    value is not found to be worse."""
    order = arbitrate.Order(users=600, ticks=8, budgets=(5,), repetitions=200, threads=2)

    document = arbitrate.compare(tmp_path, order)

    assert json.loads(json.dumps(document)) == document
    (found,) = document["budgets"]
    for one in found["orders"].values():
        assert 0 < one["messages"] <= 5 * 8, "the budget binds"
        assert one["dollars"]["low"] < one["dollars"]["found"] < one["dollars"]["high"]
        assert sum(of["messages"] for of in one["campaigns"].values()) == one["messages"]
    assert len({str(one["campaigns"]) for one in found["orders"].values()}) == 3, "the orders send different things"
    for rival in arbitrate.RIVALS:
        assert found["value_ahead_of"][rival]["dollars"]["high"] > 0
    text = arbitrate.markdown(document)
    assert all(f"| {title} |" in text for title in arbitrate.ORDERS.values())


def test_an_interval_of_the_difference_is_taken_within_each_draw_of_people() -> None:
    """Two orders that bring the same from everybody differ by nothing in every draw, whatever the people are like."""
    rows = [(f"u{number}", "tips", float(number)) for number in range(40)]
    valued = {
        "value": rows,
        "priority": rows,
        "first_come": [(user, campaign, brought - 1) for user, campaign, brought in rows],
    }

    found = arbitrate.figures(valued, 200, 1)

    assert found["value_ahead_of"]["priority"]["per_1000"] == {"found": 0.0, "low": 0.0, "high": 0.0}
    assert found["value_ahead_of"]["first_come"]["per_1000"] == pytest.approx(
        {"found": 1000.0, "low": 1000.0, "high": 1000.0}
    )
    of_all = found["orders"]["value"]["dollars"]
    assert of_all["low"] < of_all["found"] == sum(range(40)) < of_all["high"]
