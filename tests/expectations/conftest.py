"""A small warehouse that passes every gate; each test spoils a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

AS_OF = datetime(2026, 3, 2, 9)

# 400 people; the first ten are our own. Three campaigns; 40 sends. u_0001, u_0002, … are their ids.
GOOD = """
    create schema raw;

    create table raw.raw_users as
    select format('u_{:04d}', n) as user_id, format('u_{:04d}@people.example', n) as email
    from range(1, 401) as people(n);

    -- Every hour for ten days before the tick and two days after it, as in a replay of history.
    create table raw.raw_events as
    select
        format('u_{:04d}', 1 + (hours * 7 + n * 13) % 400) as user_id,
        timestamp '2026-03-02 08:50:00' - to_hours(hours) as occurred_at,
        occurred_at + interval 4 minute as received_at
    from range(-48, 240) as times(hours), range(10) as several(n);

    create table raw.raw_ledger_suppressions (
        suppression_id varchar, user_id varchar, address varchar, message_type varchar, channel varchar,
        reason varchar, created_at timestamp
    );
    insert into raw.raw_ledger_suppressions values
        ('s_1', 'u_0399', null, null, null, 'unsubscribed', '2026-02-01'),
        ('s_2', null, 'u_0398@people.example', null, null, 'bounced', '2026-02-01'),
        -- This one has had enough of news, and is mailed about other things.
        ('s_3', 'u_0050', null, 'product_news', null, 'unsubscribed', '2026-02-01'),
        ('s_4', 'u_0051', null, null, 'sms', 'unsubscribed', '2026-02-01');

    create table stg_users as select user_id, email from raw.raw_users;

    create table int_users_enriched as
    select
        user_id,
        email,
        'Europe/Berlin' as timezone,
        user_id <= 'u_0010' as is_internal,
        timestamp '2025-12-01' as created_at,
        timestamp '2026-03-01' as last_seen_at,
        timestamp '2025-12-05' as activated_at,
        null::timestamp as payment_failed_at
    from stg_users;

    create table int_candidates_unioned as
    select
        md5(campaign_id || '|' || user_id || '|once') as message_id,
        campaign_id,
        user_id,
        'once' as occurrence_key,
        timestamp '2026-03-01 10:00:00' as triggered_at,
        to_json({first_name: 'Person ' || user_id, account_name: 'Sample', note: null}) as facts
    from int_users_enriched, (values ('welcome', 41, 100), ('trial_ending', 101, 130), ('winback', 131, 160))
        as campaigns(campaign_id, first, last)
    where user_id[3:]::int between first and last;

    create table int_verdicts as
    select
        candidates.*,
        timestamp '2026-03-02 09:00:00' as as_of,
        case when campaign_id = 'welcome' and user_id <= 'u_0080' then 'send' else 'hold' end as verdict,
        email,
        'product_tips' as message_type,
        'email' as channel
    from int_candidates_unioned as candidates
    inner join int_users_enriched as users using (user_id);

    create table dim_campaigns as
    select campaign_id, '["first_name", "account_name"]'::json as required_facts
    from (values ('welcome'), ('trial_ending'), ('winback')) as campaigns(campaign_id);

    create table fct_decisions as
    select
        md5(message_id || tick::varchar) as decision_id, 'demo' as source_pack, message_id, campaign_id, tick as as_of,
        if(tick < timestamp '2026-03-02 09:00:00', 'hold', verdict) as verdict
    from int_verdicts, (values (timestamp '2026-03-02 08:00:00'), (timestamp '2026-03-02 09:00:00')) as ticks(tick);

    -- Twelve ticks: only the last eight count, and they are as large as today.
    create table raw.raw_ledger_ticks as
    select
        'run-' || hours as run_id, 'demo' as source_pack, timestamp '2026-03-02 09:00:00' - to_hours(hours) as as_of,
        'done' as status, campaign_id, if(hours > 8, 5000, size) as candidates, 0 as sends
    from range(1, 13) as times(hours),
        (values ('welcome', 50), ('trial_ending', 40), ('winback', 30)) as campaigns(campaign_id, size);

    create table raw.raw_ledger_messages as
    select 'old_' || n as message_id, 'demo' as source_pack, timestamp '2026-02-01' as sent_as_of
    from range(5) as old(n);

    create table drafts as
    select
        message_id,
        campaign_id,
        user_id,
        email,
        'consent' as legal_basis,
        'Welcome to Ledgerline, ' || (facts ->> 'first_name') as subject,
        'Three steps to your first report' as preheader,
        format('https://mail.ledgerline.example/u?m={}&t=-nan-', message_id) as unsubscribe_url,
        '<style>@media all{a{color:red}}</style><!--[if mso]>[[ ]]<![endif]--><p>Hello ' || (facts ->> 'first_name')
            || '</p><a href="' || replace(unsubscribe_url, '&', '&amp;') || '">Unsubscribe</a>' as html,
        'Hello ' || (facts ->> 'first_name') || '. None of your reports is late. ' || unsubscribe_url as text,
        md5(message_id || 'draft') as draft_hash,
        facts::varchar as facts,
        cast(null as varchar) as caution,
        'approved' as state
    from int_verdicts where verdict = 'send';

    create table reviews as
    select message_id, campaign_id, draft_hash, 'none' as review_policy, 'approved' as verdict, 'policy' as reviewer
    from drafts;

    create table releases as
    select 'release-1' as release_id, 'run-2' as run_id, timestamp '2026-03-02 09:00:00' as as_of, 40 as messages;

    create table deliveries as
    select
        message_id, 'sent' as state, false as is_held, timestamp '2026-03-02 09:00:00' as sent_as_of, draft_hash,
        'run-2' as run_id
    from drafts
    union all
    select message_id, 'sent', false, sent_as_of, 'hash', 'run-1' from raw.raw_ledger_messages;
    -- A worker on another host is at this one.
    update deliveries set state = 'sending', is_held = true, sent_as_of = null where message_id = 'old_4';

    create table fct_deliveries as select message_id from deliveries;

    create table fct_experiment_results as
    select
        'welcome' as campaign_id, 100 as treatment_n, 0.30 as treatment_rate, 0.25 as holdout_rate, -0.05 as difference
    union all
    select 'winback', 0, null, null, null;

    create table kpi_daily as
    select day as kpi_date, kpi, 0.5 as value
    from (values (date '2026-03-01'), (date '2026-03-02')) as days(day),
        (values ('activation'), ('retention_28d')) as kpis(kpi);
"""


@pytest.fixture(scope="session")
def good_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gates") / "good.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(GOOD)
    return path


@pytest.fixture
def spoil(good_warehouse: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies the good warehouse and runs SQL on the copy."""

    def copy(sql: str = "") -> Path:
        path = tmp_path / "warehouse.duckdb"
        shutil.copy(good_warehouse, path)
        with duckdb.connect(str(path)) as connection:
            connection.execute(sql or "select 1")
        return path

    return copy


@pytest.fixture
def params() -> dict[str, Any]:
    """What a tick on the good warehouse is given."""
    return {
        "as_of": AS_OF,
        "read_at": AS_OF + timedelta(days=2),
        "gate": {
            "users": "raw_users",
            "user_key": "user_id",
            "user_email": "email",
            "events": "raw_events",
            "event_user_key": "user_id",
            "event_occurred_at": "occurred_at",
            "event_received_at": "received_at",
        },
    }
