"""Every expectation holds on a good batch, and fires on a batch that was spoiled for it, and only it.

One spoiling per expectation: the SQL runs on a copy of the good warehouse; `count` is the number of violations that
the gate must report, `examples` are the keys it must name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from expectations.gate import STAGES, run_gate, suite

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True, slots=True)
class Spoiling:
    sql: str
    count: int
    examples: tuple[str, ...] | None = None  # None where the key is a hash; then only their number is checked
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)


SPOILINGS: dict[tuple[str, str], Spoiling] = {
    ("ingest", "users_not_empty"): Spoiling("delete from raw.raw_users", 1, ()),
    ("ingest", "user_key_filled"): Spoiling(
        "update raw.raw_users set user_id = '  ' where user_id = 'u_0400'", 1, ("row 400",)
    ),
    ("ingest", "user_key_unique"): Spoiling(
        "insert into raw.raw_users values (' u_0007', 'again@people.example')", 1, ("u_0007",)
    ),
    ("ingest", "addresses_plausible"): Spoiling(
        "update raw.raw_users set email = null where user_id <= 'u_0007'",
        7,
        ("u_0001", "u_0002", "u_0003", "u_0004", "u_0005"),
    ),
    ("ingest", "events_not_empty"): Spoiling(
        "delete from raw.raw_events where received_at <= timestamp '2026-03-02 09:00:00'", 1, ("none",)
    ),
    ("ingest", "events_fresh"): Spoiling(
        """
        delete from raw.raw_events
        where received_at between timestamp '2026-03-01 06:00:00' and timestamp '2026-03-02 09:00:00'
        """,
        1,
        ("2026-03-01 05:54",),
    ),
    ("ingest", "events_happened_before_received"): Spoiling(
        """
        insert into raw.raw_events values ('u_0001', '2026-03-02 07:06:00', '2026-03-02 07:00:00'),
            ('u_0002', '2026-03-02 07:04:00', '2026-03-02 07:00:00')
        """,
        1,
        ("u_0001 at 2026-03-02 07:06:00",),
    ),
    ("ingest", "events_not_after_tick"): Spoiling(
        "insert into raw.raw_events values ('u_0001', '2026-03-03 07:06:00', '2026-03-02 07:00:00')",
        1,
        ("u_0001 at 2026-03-03 07:06:00",),
    ),
    ("ingest", "events_not_after_reading"): Spoiling(
        """
        insert into raw.raw_events values ('u_0001', '2026-03-02 07:06:00', '2027-01-01'),
            ('u_0002', '2027-01-01', '2026-03-03')
        """,
        2,
        ("u_0001 at 2026-03-02 07:06:00", "u_0002 at 2027-01-01 00:00:00"),
    ),
    ("ingest", "events_well_formed"): Spoiling(
        """
        update raw.raw_events set user_id = null
        where occurred_at between timestamp '2026-03-02 05:00:00' and timestamp '2026-03-02 09:00:00'
        """,
        40,
        tuple(f"? at 2026-03-02 0{hour}:50:00" for hour in (5,)),
    ),
    ("ingest", "events_of_known_users"): Spoiling(
        "update raw.raw_events set user_id = 'x' || user_id where occurred_at > timestamp '2026-03-01'", 330
    ),
    ("enrich", "enriched_once"): Spoiling(
        "insert into int_users_enriched from int_users_enriched where user_id = 'u_0007'", 2, ("u_0007",)
    ),
    ("enrich", "enriched_all"): Spoiling(
        "delete from int_users_enriched where user_id = 'u_0007'; delete from stg_users where user_id = 'u_0009'",
        2,
        ("u_0007", "u_0009"),
    ),
    ("enrich", "somebody_active"): Spoiling(
        "update int_users_enriched set last_seen_at = timestamp '2026-02-23 08:00:00'", 1, ("nobody",)
    ),
    ("enrich", "no_fact_from_the_future"): Spoiling(
        "update int_users_enriched set activated_at = timestamp '2026-03-02 10:00:00' where user_id = 'u_0007'",
        1,
        ("u_0007",),
    ),
    ("enrich", "zones_known"): Spoiling(
        "update int_users_enriched set timezone = null where user_id <= 'u_0081'",
        81,
        ("u_0001", "u_0002", "u_0003", "u_0004", "u_0005"),
    ),
    ("score", "candidates_unique"): Spoiling(
        "insert into int_candidates_unioned from int_candidates_unioned where user_id = 'u_0050'", 2
    ),
    ("score", "not_triggered_after_tick"): Spoiling(
        "update int_candidates_unioned set triggered_at = timestamp '2026-03-02 10:00:00' where user_id = 'u_0050'", 1
    ),
    ("score", "candidates_known"): Spoiling(
        "update int_candidates_unioned set user_id = 'stranger' where user_id = 'u_0050'", 1, ("stranger",)
    ),
    ("score", "facts_are_objects"): Spoiling(
        """
        alter table int_candidates_unioned alter facts type varchar;
        update int_candidates_unioned set facts = '["Ada"]' where user_id = 'u_0050';
        update int_candidates_unioned set facts = '{' where user_id = 'u_0051';
        update int_candidates_unioned set facts = null where user_id = 'u_0052';
        """,
        3,
    ),
    ("score", "no_campaign_claims_everybody"): Spoiling(
        """
        insert into int_candidates_unioned
        select md5(user_id), 'winback', user_id, 'twice', timestamp '2026-03-01', '{}'::json
        from int_users_enriched where user_id > 'u_0200'
        """,
        1,
        ("winback",),
    ),
    ("decide", "verdicts_unique"): Spoiling("insert into int_verdicts from int_verdicts where user_id = 'u_0050'", 2),
    ("decide", "every_candidate_decided"): Spoiling(
        """
        delete from int_verdicts where user_id = 'u_0090';
        update int_verdicts set verdict = null where user_id = 'u_0091'
        """,
        2,
    ),
    ("decide", "verdicts_of_this_tick"): Spoiling(
        "update int_verdicts set as_of = timestamp '2026-03-02 08:00:00' where user_id = 'u_0090'", 1
    ),
    ("decide", "sends_have_address"): Spoiling("update int_verdicts set email = ' ' where user_id <= 'u_0052'", 12),
    ("decide", "sends_have_valid_address"): Spoiling(
        "update int_verdicts set email = 'ada@example' where user_id = 'u_0050'", 1
    ),
    ("decide", "sends_not_suppressed"): Spoiling(
        """
        insert into raw.raw_ledger_suppressions values
            ('s_5', 'u_0041', null, null, null, 'unsubscribed', '2026-03-02'),
            ('s_6', 'u_0042', null, 'product_tips', 'email', 'unsubscribed', '2026-03-02'),
            ('s_7', null, 'u_0043@people.example', null, 'email', 'bounced', '2026-03-02'),
            ('s_8', 'u_0043', 'u_0043@people.example', null, null, 'bounced', '2026-03-02');
        update int_verdicts set email = ' U_0043@People.Example' where user_id = 'u_0043'
        """,
        3,
    ),
    ("decide", "sends_not_internal"): Spoiling(
        "update int_users_enriched set is_internal = true where user_id between 'u_0041' and 'u_0042'", 2
    ),
    ("decide", "sends_have_required_facts"): Spoiling(
        """
        update int_verdicts set facts = '{"first_name": null}'::json where user_id in ('u_0050', 'u_0090')
        """,
        1,
    ),
    ("decide", "audience_below_cap"): Spoiling("", 1, ("welcome",), {"audience_cap": 59}),
    ("decide", "audience_not_exploded"): Spoiling(
        "update raw.raw_ledger_ticks set candidates = candidates / 10 where campaign_id = 'welcome'", 1, ("welcome",)
    ),
    ("decide", "audience_as_usual"): Spoiling(
        """
        update raw.raw_ledger_ticks set candidates = 20 where campaign_id = 'welcome';
        update raw.raw_ledger_ticks set candidates = 70 where campaign_id = 'winback';
        insert into raw.raw_ledger_ticks
        select 'run', 'demo', timestamp '2026-03-02 08:00:00', 'done', 'gone', 30, 0
        """,
        3,
        ("gone", "welcome", "winback"),
    ),
    ("decide", "share_of_base"): Spoiling("", 40, None, {"min_sends_judged": 40, "max_send_share": 0.1}),
    ("decide", "eligible_remain"): Spoiling(
        """
        insert into fct_decisions
        select md5('x' || n), 'demo', 'vanished_' || n, 'winback', timestamp '2026-03-02 08:00:00', 'hold'
        from range(60) as gone(n)
        """,
        1,
        ("winback",),
    ),
    ("draft", "every_message_drafted"): Spoiling(
        "update drafts set draft_hash = null, subject = null, html = null, text = null where user_id = 'u_0050'", 1
    ),
    ("draft", "no_missing_value"): Spoiling(
        """
        update drafts set text = 'Hello None, ' || text where user_id = 'u_0050';
        update drafts set subject = 'Your plan: null' where user_id = 'u_0051';
        update drafts set html = replace(html, 'Hello', 'nan reports,') where user_id = 'u_0052'
        """,
        3,
    ),
    ("draft", "no_template_mark"): Spoiling(
        """
        update drafts set text = 'Hello {{ first_name }}, ' || text where user_id = 'u_0050';
        update drafts set html = '{% if plan %}' || html where user_id = 'u_0051';
        update drafts set subject = 'Hello [[name]]' where user_id = 'u_0052'
        """,
        3,
    ),
    ("draft", "subject_filled"): Spoiling("update drafts set subject = ' ' where user_id = 'u_0050'", 1),
    ("draft", "subject_short"): Spoiling("update drafts set subject = repeat('a', 151) where user_id = 'u_0050'", 1),
    ("draft", "subject_one_line"): Spoiling(
        "update drafts set subject = 'Hello' || chr(10) || 'Bcc: all' where user_id = 'u_0050'", 1
    ),
    ("draft", "both_parts_filled"): Spoiling(
        "update drafts set html = ' ' where user_id = 'u_0050'; update drafts set text = null where user_id = 'u_0051'",
        2,
    ),
    ("draft", "unsubscribe_link_in_html"): Spoiling(
        "update drafts set html = replace(html, '&amp;m=', '').replace('?m=', '') where user_id = 'u_0050'", 1
    ),
    ("draft", "unsubscribe_link_in_text"): Spoiling(
        "update drafts set text = 'Hello ' || user_id where user_id = 'u_0050'", 1
    ),
    ("draft", "html_small"): Spoiling(
        "update drafts set html = html || repeat('ü', 51000) where user_id = 'u_0050'", 1
    ),
    ("draft", "no_test_text"): Spoiling(
        """
        update drafts set subject = 'Integration Test Email #1' where user_id = 'u_0050';
        update drafts set text = 'lorem ipsum dolor ' || text where user_id = 'u_0051'
        """,
        2,
    ),
    ("draft", "bodies_differ"): Spoiling("update drafts set text = 'Hello ' || unsubscribe_url", 1, ("welcome",)),
    ("review", "reviews_unique"): Spoiling("insert into reviews from reviews limit 1", 2),
    ("review", "every_draft_reviewed"): Spoiling(
        "delete from reviews where message_id in (select message_id from drafts where user_id = 'u_0050')", 1
    ),
    ("review", "approval_of_this_draft"): Spoiling(
        "update drafts set draft_hash = md5('edited') where user_id = 'u_0050'", 1
    ),
    ("review", "approved_by_a_person"): Spoiling(
        """
        update reviews set review_policy = 'all', reviewer = 'ada@ledgerline.example';
        update reviews set reviewer = 'policy'
        where message_id in (select message_id from drafts where user_id <= 'u_0046');
        update reviews set reviewer = null
        where message_id in (select message_id from drafts where user_id = 'u_0047');
        update drafts set caution = 'repaired' where user_id in ('u_0050', 'u_0051');
        update drafts set caution = 'doubt:reviewer:tone' where user_id in ('u_0052', 'u_0053');
        update reviews set reviewer = 'policy', review_policy = case when user_id in ('u_0050', 'u_0052', 'u_0054') then 'risk' else 'sample:0.1' end
        from drafts where drafts.message_id = reviews.message_id and user_id between 'u_0050' and 'u_0055'
        """,
        7 + 3,  # seen by nobody: a risk of 50 and of 52, a doubt of 52 and of 53; not 51, 54 and 55
    ),
    ("deliver", "deliveries_unique"): Spoiling("insert into deliveries from deliveries limit 1", 2),
    ("deliver", "nothing_left_sending"): Spoiling(
        "update deliveries set state = 'sending' where message_id = 'old_3'", 1, ("old_3",)
    ),
    ("deliver", "planned_is_accounted_for"): Spoiling(
        "delete from deliveries where message_id in ('old_1', 'old_3')", 2, ("old_1", "old_3")
    ),
    ("deliver", "sent_under_a_release"): Spoiling("update releases set as_of = timestamp '2026-03-02 08:00:00'", 40),
    ("deliver", "sent_with_approval"): Spoiling(
        """
        update reviews set verdict = 'in_review'
        where message_id in (select message_id from drafts where user_id = 'u_0050');
        update reviews set draft_hash = 'other'
        where message_id in (select message_id from drafts where user_id = 'u_0051')
        """,
        2,
    ),
    ("evaluate", "deliveries_counted_once"): Spoiling(
        """
        delete from fct_deliveries where message_id = 'old_1';
        insert into fct_deliveries values ('old_2'), ('stranger')
        """,
        3,
        ("old_1", "old_2", "stranger"),
    ),
    ("evaluate", "rates_are_shares"): Spoiling(
        "update fct_experiment_results set treatment_rate = 1.2, holdout_rate = -0.1 where campaign_id = 'welcome'",
        2,
        ("welcome holdout_rate", "welcome treatment_rate"),
    ),
    ("evaluate", "every_kpi_present"): Spoiling(
        "delete from kpi_daily where kpi = 'activation' and kpi_date = date '2026-03-02'", 1, ("activation",)
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_good_batch_passes_every_expectation(stage: str, good_warehouse: Path, params: dict[str, Any]) -> None:
    result = run_gate(stage, good_warehouse, params)
    assert result.passed
    assert [line for line in result.results if not line.passed or line.unexpected_count] == []


def test_every_expectation_has_its_proof(params: dict[str, Any]) -> None:
    """No expectation can be added without a batch that makes it fire."""
    expectations = {(stage, found.name) for stage in STAGES for found in suite(stage, params).expectations}
    assert expectations == set(SPOILINGS)


@pytest.mark.parametrize(("stage", "name"), SPOILINGS, ids=lambda word: word)
def test_exactly_this_expectation_fires(
    stage: str, name: str, spoil: Callable[..., Path], params: dict[str, Any]
) -> None:
    spoiling = SPOILINGS[stage, name]
    result = run_gate(stage, spoil(spoiling.sql), params | spoiling.params)
    broken = [line for line in result.results if not line.passed]
    assert [line.name for line in broken] == [name]
    line = broken[0]
    assert line.unexpected_count == spoiling.count
    assert result.passed == (line.severity == "warning")
    if spoiling.examples is None:
        assert 1 <= len(line.examples) <= min(line.unexpected_count, 5)
    else:
        assert line.examples == spoiling.examples
    assert all(example in line.line for example in line.examples)
    assert line.line.startswith(line.sentence)
    assert line.observed


def test_every_sentence_reads_as_one(params: dict[str, Any]) -> None:
    """A stakeholder reads the sentence and nothing else: a capital, a full stop, no name of a column."""
    sentences = [found.sentence for stage in STAGES for found in suite(stage, params).expectations]
    for sentence in sentences:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "_" not in sentence
        assert "{" not in sentence
    assert len(set(sentences)) == len(sentences)
