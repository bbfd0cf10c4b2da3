"""`simulate` decides as ticks do, knows nothing of the future, carries what it would send, and leaves no trace."""

from __future__ import annotations

import hashlib
import json
import signal
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.adapters.model_prices import dollars
from dagster_project.commands.replaying import replaying
from dagster_project.commands.simulate import Asked, simulate
from dagster_project.home import Home
from dagster_project.lifecycle.simulation import SCARCE
from expectations.plain import audience

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
LAST = datetime(2026, 9, 1, 9)
FIRST = LAST - 9 * DAY
DECIDED = """
    message_id, campaign_id, user_id, verdict, reason, reasons_all, variant, arm, propensity, facts, policy_hash, caps,
    winner_message_id, triggered_at, as_of, send_after, send_before
"""

Tick = Callable[[Path, Path, datetime], None]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where scratch warehouses are made; each test leaves it empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def at(home: Home, data: Path) -> Home:
    """The same home over other files."""
    other = Home(home.settings.model_copy(update={"data": data}))
    other.models.adopt(home.models)
    return other


def decided(
    home: Home, first: datetime, last: datetime, *, is_approved: bool = True
) -> dict[datetime, set[tuple[Any, ...]]]:
    """Every verdict of a simulation, whole, by tick."""
    found = {}
    with replaying(home, first, []) as (replay, _):
        as_of = first
        while as_of <= last:
            with replay.tick(as_of):
                replay.advance()
                replay.decide(0)
                found[as_of] = {tuple(row.values()) for row in replay.rows(f"select {DECIDED} from main.int_verdicts")}
                asked = {"as_of": as_of, "source_pack": home.pack.name}
                cautioned = {name for _, names in audience(replay.connection, asked) for name in names}
                replay.carry(0, is_approved=is_approved, cautioned=cautioned)
                replay.close_tick(0, "done")
            as_of += DAY
    return found


@pytest.fixture(scope="module")
def baseline(ticked: Home) -> dict[datetime, set[tuple[Any, ...]]]:
    """Every verdict of ten days as the company's files are."""
    return decided(ticked, FIRST, LAST)


def asked(**other: Any) -> Asked:
    return Asked(**{"first": FIRST, "last": LAST, "step": DAY} | other)


def nothing(*_: object) -> None:
    """Hears how far a simulation is, and is not interested."""


def marks(folder: Path) -> dict[str, str]:
    """Every file with a hash of what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_past_days_are_decided_as_run_decided_them(
    tmp_path: Path, small_company: Path, opened: Callable[[Path], Home], tick_in: Tick, is_long: bool
) -> None:
    """Real ticks day after day, then the same days simulated in the same home: not one verdict differs."""
    days = 14 if is_long else 4
    folder, first = tmp_path / "home", LAST - (days - 1) * DAY
    run = {}
    for number in range(days):
        as_of = first + number * DAY
        tick_in(folder, small_company, as_of)
        rows = opened(folder).warehouse.rows(f"select {DECIDED} from int_verdicts")
        run[as_of] = {tuple(row.values()) for row in rows}

    simulated = decided(opened(folder), first, LAST, is_approved=False)

    assert {as_of: len(simulated[as_of] ^ run[as_of]) for as_of in run} == dict.fromkeys(run, 0)
    reasons = {row[4] for rows in run.values() for row in rows}
    assert "already_sent" in reasons
    assert reasons & set(SCARCE)


def assert_seen_at_the_last_tick_only(
    simulated: dict[datetime, set[tuple[Any, ...]]], baseline: dict[datetime, set[tuple[Any, ...]]]
) -> None:
    """What becomes known an hour before the last tick changes that tick, and none before it."""
    differing = {as_of: len(simulated[as_of] ^ rows) for as_of, rows in baseline.items()}

    assert {as_of for as_of, count in differing.items() if count} == {LAST}, differing


def users_at_last(baseline: dict[datetime, set[tuple[Any, ...]]], *campaigns: str) -> list[str]:
    """Candidates of the last tick in these campaigns."""
    return sorted({row[2] for row in baseline[LAST] if row[1] in campaigns})


def rewrite(file: Path, select: str, **tables: Any) -> None:
    """Replace a Parquet file by a query over `file`, and tables given as lists of values."""
    beside = file.with_suffix(".new")
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"create view file as select * from read_parquet('{file}')")
        for name, values in tables.items():
            connection.execute(f"create table {name} as select unnest(?) as value", [values])
        connection.execute(f"copy ({select}) to '{beside}' (format parquet)")
    beside.replace(file)


def test_a_row_that_arrives_late_is_not_seen_before_it_arrived(
    ticked: Home, company: Path, baseline: dict[datetime, set[tuple[Any, ...]]]
) -> None:
    """Value that people got days ago, and of which we heard an hour before the last tick."""
    people = users_at_last(baseline, "setup_stalled", "welcome")
    rewrite(
        company / "events" / "part-000.parquet",
        f"""
            select * from file
            union all by name
            select 'late-' || value as event_id, value as user_id, 'report_shared' as event_name,
                timestamp '{FIRST - DAY}' as occurred_at, timestamp '{LAST - DAY / 24}' as received_at
            from people
        """,
        people=people,
    )

    simulated = decided(at(ticked, company), FIRST, LAST)

    assert_seen_at_the_last_tick_only(simulated, baseline)
    assert not {row[2] for row in simulated[LAST] if row[1] in ("setup_stalled", "welcome")} & set(people)


def test_a_consent_of_the_future_is_not_seen(
    ticked: Home, company: Path, baseline: dict[datetime, set[tuple[Any, ...]]]
) -> None:
    """Everybody takes back every consent an hour before the last tick."""
    rewrite(
        company / "consents.parquet",
        f"""
            select * from file
            union all by name
            select distinct on (user_id, channel, message_type)
                * replace ('withdrawn' as status, timestamp '{LAST - DAY / 24}' as recorded_at)
            from file
        """,
    )

    simulated = decided(at(ticked, company), FIRST, LAST)

    assert_seen_at_the_last_tick_only(simulated, baseline)
    assert "unsubscribed" in {row[4] for row in simulated[LAST]}


def test_an_attribute_that_changes_later_is_not_seen(
    ticked: Home, company: Path, baseline: dict[datetime, set[tuple[Any, ...]]]
) -> None:
    """Accounts cancel an hour before the last tick, and the application's database has their plan and price of today."""
    rewrite(
        company / "subscriptions.parquet",
        f"""
            select * from file
            union all by name
            select distinct on (account_id)
                * replace ('cancelled' as status, 'gone' as plan, 0 as mrr, timestamp '{LAST - DAY / 24}' as changed_at)
            from file
        """,
    )
    rewrite(company / "accounts.parquet", "select * replace ('gone' as plan, 0 as mrr) from file")

    simulated = decided(at(ticked, company), FIRST, LAST)

    assert_seen_at_the_last_tick_only(simulated, baseline)
    assert not users_at_last(simulated, "welcome")


def test_what_would_be_sent_is_history_for_the_days_after(ticked: Home) -> None:
    """Caps hold over days, nobody gets a message twice, and the verdicts name both."""
    answer = simulate(ticked, asked(), nothing)["policies"][0]

    owed = {
        name
        for name, policy in ticked.policies.items()
        if policy.legal_basis == "transactional" or policy.message_type == "legal"
    }
    times: dict[str, list[datetime]] = defaultdict(list)
    for row in answer["sent"]:
        if row["campaign_id"] not in owed:
            times[row["user_id"]].append(row["as_of"])
    weeks = [sum(end - 7 * DAY < one <= end for one in own) for own in times.values() for end in own]
    assert 2 <= max(weeks) <= 3
    assert min(later - one for own in times.values() for one, later in pairwise(own)) >= DAY
    assert max(Counter(row["message_id"] for row in answer["sent"]).values()) == 1
    assert {"frequency_capped", "account_crowded"} <= {row["reason"] for row in answer["caps"]}
    assert answer["collisions"]
    assert answer["broken"] == []
    assert sum(day["sends"] for day in answer["days"]) == answer["sends"] == len(answer["sent"])


def test_ninety_days_hold_every_invariant(ticked: Home, is_long: bool) -> None:
    """Exactly one verdict per candidate and tick, and what must be true of every send, asked by the project's own tests."""
    with replaying(ticked, LAST - 89 * DAY, []) as (_, invariants):
        assert {"every_candidate_has_one_verdict", "no_send_without_consent", "no_send_to_the_held_out"} <= set(
            invariants
        )
        assert len(invariants) >= 10
    answer = simulate(ticked, asked(first=LAST - (89 if is_long else 12) * DAY), nothing)

    assert answer["ticks"] == (90 if is_long else 13)
    assert answer["policies"][0]["broken"] == []
    assert answer["policies"][0]["candidates"] > 1_000


def test_what_arrivals_moved_on_is_what_the_whole_makes(ticked: Home) -> None:
    """Late events too: after ten ticks the days of people are those that one pass over all events makes."""
    with replaying(ticked, FIRST, []) as (replay, _):
        for number in range(10):
            with replay.tick(FIRST + number * DAY):
                replay.advance()
        whole = replay.whole("int_user_days")
        late = "select * from main.stg_events where received_at > occurred_at + interval 1 day"

        assert list(replay.growing) == ["int_user_days"]
        assert replay.count(f"({whole}) except all select * from main.int_user_days") == 0
        assert replay.count(f"select * from main.int_user_days except all ({whole})") == 0
        assert replay.count(late) > 0


def test_two_policies_go_side_by_side(ticked: Home, tmp_path: Path) -> None:
    """The present one is what it is alone; the other obeys what the file says."""
    file = tmp_path / "fewer.yml"
    file.write_text("feature_next: {rollout_percent: 0}\ninvite_teammates: {priority: 100, quota_per_run: 3}\n")
    alone = simulate(ticked, asked(), nothing)["policies"][0]

    both = simulate(ticked, asked(policy_file=file), nothing)

    present, other = both["policies"]
    assert present == alone
    assert other["name"] == "fewer.yml"
    assert present["campaigns"]["feature_next"]["sends"] > 0 == other["campaigns"]["feature_next"]["sends"]
    assert max(day["campaigns"].get("invite_teammates", 0) for day in other["days"]) == 3
    assert any(row["reason"] == "over_quota" for row in other["caps"])
    differences = {row["campaign_id"]: row for row in both["differences"]}
    assert differences["feature_next"]["sends"] == [present["campaigns"]["feature_next"]["sends"], 0]
    assert len(differences["feature_next"]["left"]) == present["campaigns"]["feature_next"]["people"]
    assert other["broken"] == []


def test_a_policy_that_says_the_same_changes_nothing(ticked: Home, tmp_path: Path) -> None:
    file = tmp_path / "same.yml"
    file.write_text("welcome: {priority: 70}\n")

    both = simulate(ticked, asked(first=LAST - 2 * DAY, policy_file=file), nothing)

    first, second = both["policies"]
    assert first | {"name": ""} == second | {"name": ""}
    assert not any(row["entered"] or row["left"] for row in both["differences"])


def test_drafts_that_wait_for_a_person_never_leave_when_nobody_comes(ticked: Home) -> None:
    approved, waiting = (
        simulate(ticked, asked(review=review), nothing)["policies"][0]["campaigns"]["churn_risk"]["sends"]
        for review in ("approve", "wait")
    )

    assert approved > waiting == 0


def test_the_language_models_calls_are_counted_and_priced(ticked: Home) -> None:
    answer = simulate(ticked, asked(first=LAST - 2 * DAY, price=(1_000_000.0, 0.0)), nothing)["policies"][0]["model"]

    assert answer["calls"] > 0
    assert answer["calls"] == sum(answer["by_campaign"].values())
    assert not answer["is_set"]
    assert answer["dollars"] == answer["tokens_in"] > 0
    listed = simulate(ticked, asked(first=LAST - 2 * DAY), nothing)["policies"][0]["model"]
    assert (
        listed["dollars"]
        == round(float(dollars(listed["model"], listed["tokens_in"], listed["tokens_out"]) or 0), 4)
        > 0
    )


def test_nothing_of_the_home_changes(home: Home) -> None:
    """Not the warehouse, not the ledger, not the outbox; and the scratch folder is gone."""
    before = marks(home.path)

    simulate(home, asked(first=LAST - DAY), nothing)

    assert marks(home.path) == before


@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_simulation_that_is_stopped_leaves_nothing(home: Home, scratch: Path, asked_by: signal.Signals) -> None:
    """In the middle of the second tick. What the signals did before, they do again."""
    handler = signal.getsignal(signal.SIGTERM)
    before = marks(home.path)
    seen: list[list[Path]] = []

    def stop(done: int, _count: int, _as_of: datetime) -> None:
        seen.append(list(scratch.iterdir()))
        if done == 1:
            signal.raise_signal(asked_by)

    with pytest.raises(KeyboardInterrupt):
        simulate(home, asked(), stop)

    assert len(seen[0]) == 1
    assert list(scratch.iterdir()) == []
    assert marks(home.path) == before
    assert signal.getsignal(signal.SIGTERM) == handler


def test_the_command_prints_tables_or_one_object(
    ticked: Home, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOME": ticked.path, "DATA": ticked.data, "THREADS": 2}.items():
        monkeypatch.setenv(f"POSTRIDER_{name}", str(value))
    arguments = ("simulate", "--from", "2026-08-31T09:00:00Z", "--campaign", "welcome")

    code, told, _ = call(*arguments)
    assert code == 0
    assert "nothing was sent" in told
    assert "verdicts, all ticks added up" in told
    assert "feature_next" not in told.partition("days")[0]

    code, told, _ = call(*arguments, "--json")
    assert code == 0
    answer = json.loads(told)
    assert set(answer["policies"][0]["campaigns"]) == {"welcome"}
    assert answer["ticks"] == 2
