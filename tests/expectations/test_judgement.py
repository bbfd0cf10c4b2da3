"""Where an expectation must hold back, and where it must not: the cases between good and spoiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.gate import ExpectationResult, run_gate
from expectations.sql import is_address

slow = pytest.mark.slow


def judged(stage: str, path: Path, params: Mapping[str, Any]) -> dict[str, ExpectationResult]:
    """Results by name."""
    return {line.name: line for line in run_gate(stage, path, params).results}


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("ada@people.example", True),
        ("ada.lovelace+reports@mail.people.example", True),
        ("o'neill@people.example", True),
        ("zoë@bücher.example", True),
        ("ada@xn--bcher-kva.example", True),
        ("a@b.xn--p1ai", True),
        ("ada@people", False),
        ("ada.people.example", False),
        ("ada@@people.example", False),
        ("ada@people..example", False),
        ("ada.@people.example", False),
        (".ada@people.example", False),
        ("ada@-people.example", False),
        ("ada lovelace@people.example", False),
        ("ada@people.example\nBcc: all@people.example", False),
        ("ada@people.example, eve@people.example", False),
        ("Ada <ada@people.example>", False),
        ("a" * 250 + "@people.example", False),
        ("n/a", False),
        ("", False),
        (None, None),
    ],
)
def test_what_could_be_an_address(address: str | None, is_one: bool | None) -> None:
    with duckdb.connect() as connection:
        assert connection.execute(
            f"select {is_address('address')} from (select ? as address)", [address]
        ).fetchone() == (is_one,)


@slow
def test_a_source_of_text_without_addresses_and_receipts_passes(
    spoil: Callable[..., Path], params: dict[str, Any]
) -> None:
    """The layout of a CSV export: ids are floats, times are text, nothing says when an event was received."""
    path = spoil(
        """
        create table raw.people as select n || '.0' as user_id from range(100) as people(n);
        create table raw.clicks as
        select n % 100 || '.0' as user_id, (timestamp '2014-08-01' - to_minutes(n))::varchar as occurred_at
        from range(5000) as clicks(n)
        union all select '3.0', 'yesterday'
        """
    )
    gate = dict.fromkeys(params["gate"]) | {
        "users": "people",
        "user_key": "user_id",
        "events": "clicks",
        "event_user_key": "user_id",
        "event_occurred_at": "occurred_at",
    }
    # In a replay the source reaches far beyond the tick.
    times = {"as_of": datetime(2014, 7, 31, 9), "read_at": datetime(2014, 9, 1)}
    results = judged("ingest", path, params | times | {"gate": gate})
    assert all(line.passed for line in results.values())
    assert "addresses_plausible" not in results
    assert results["events_well_formed"].unexpected_count == 1


@slow
@pytest.mark.parametrize(
    ("sql", "observed"),
    [
        ("delete from raw.raw_ledger_ticks", "first tick of this home: trusted"),
        ("update raw.raw_ledger_ticks set source_pack = 'other'", "first tick of this home: trusted"),
        ("update raw.raw_ledger_ticks set as_of = as_of + interval 12 hour", "first tick of this home: trusted"),
        # A tick that a gate has stopped is no proof of what is usual.
        ("update raw.raw_ledger_ticks set status = 'stopped'", "first tick of this home: trusted"),
        ("delete from raw.raw_ledger_ticks where campaign_id = 'welcome'", "first tick of welcome: trusted"),
    ],
)
def test_an_audience_without_history_is_trusted_and_said_to_be(
    sql: str, observed: str, spoil: Callable[..., Path], params: dict[str, Any]
) -> None:
    results = judged("decide", spoil(sql), params)
    for name in ("audience_not_exploded", "audience_as_usual"):
        assert results[name].passed
        assert results[name].observed == observed


@slow
def test_small_campaigns_are_not_judged_by_ratios(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    path = spoil("update raw.raw_ledger_ticks set candidates = 1 where campaign_id = 'winback'")
    assert judged("decide", path, params | {"audience_floor": 31})["audience_not_exploded"].passed
    assert not judged("decide", path, params | {"audience_floor": 30})["audience_not_exploded"].passed


@slow
def test_messages_that_were_sent_have_not_vanished(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    path = spoil(
        """
        insert into fct_decisions
        select md5('x' || n), 'demo', 'sent_' || n, 'winback', timestamp '2026-03-02 08:00:00', 'send'
        from range(60) as gone(n);
        insert into raw.raw_ledger_messages
        select 'sent_' || n, 'demo', timestamp '2026-03-02 08:00:00' from range(60) as gone(n)
        """
    )
    line = judged("decide", path, params)["eligible_remain"]
    assert line.passed
    assert line.observed == "0 of 120 vanished"


@slow
@pytest.mark.parametrize(("env", "passes"), [("development", True), ("production", False)])
def test_production_is_stricter(env: str, passes: bool, spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    """A test mail and a mailing to half the base are looked at in development, and refused in production."""
    path = spoil("update drafts set subject = 'Integration Test Email #1' where user_id = 'u_0050'")
    assert run_gate("draft", path, params | {"env": env}).passed is passes
    limits = {"min_sends_judged": 40, "max_send_share": 0.1}
    assert run_gate("decide", path, params | limits | {"env": env}).passed is passes


@slow
def test_harmless_mails_pass(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    """Words that only look like a fault: names of people and products, receipts without an unsubscribe link."""
    path = spoil(
        """
        update drafts set text = 'Hello Nan, Null here. ' || text, subject = 'Nan, the latest contest'
        where user_id = 'u_0050';
        update drafts set legal_basis = 'transactional', unsubscribe_url = null, html = '<p>Paid</p>', text = 'Paid'
        where user_id = 'u_0051';
        update drafts set facts = '{"next_feature": "connect an integration"}', subject = 'Next: connect an integration'
        where user_id = 'u_0052';
        update drafts set html = '<style>@media all{a{b:c}}</style><!-- None -->' || html where user_id = 'u_0054'
        """
    )
    result = run_gate("draft", path, params | {"env": "production"})
    assert [line for line in result.results if not line.passed] == []


@slow
def test_a_second_run_of_the_same_tick_passes(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    """Everything is sent already: no draft waits, no review is due, and the release is empty."""
    path = spoil("delete from drafts; delete from reviews; update releases set run_id = 'run-3', messages = 0")
    for stage in ("draft", "review", "deliver"):
        assert run_gate(stage, path, params).passed


@slow
def test_an_empty_tick_passes(spoil: Callable[..., Path], params: dict[str, Any]) -> None:
    """Nobody qualifies in a young home: that is no fault."""
    tables = ("int_candidates_unioned", "int_verdicts", "fct_decisions", "raw.raw_ledger_ticks", "drafts", "reviews")
    path = spoil(";".join(f"delete from {table}" for table in tables) + "; delete from releases")
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from deliveries where sent_as_of = timestamp '2026-03-02 09:00:00'")
        connection.execute("create or replace table fct_deliveries as select message_id from deliveries")
        connection.execute("delete from fct_experiment_results; delete from kpi_daily")
    for stage in ("score", "decide", "draft", "review", "deliver"):
        assert run_gate(stage, path, params).passed
