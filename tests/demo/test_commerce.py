"""Trials, plans and payments, and that a first tick finds people for every campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dagster_project.demo.company import ENDS_AT, generate

PEOPLE = """
create table seen as
select
    users.*, owner_user_id = user_id as is_owner, seats, trial_ends_at, status,
    count(*) over (partition by account_id) as account_users,
    date_diff('second', users.created_at, $ends_at) / 86400 as days_old,
    date_diff('second', last_seen_at, $ends_at) / 86400 as days_quiet,
    steps, value_at, prior_days, recent_days, failed_at, paid_at, terms
from users
inner join accounts using (account_id)
inner join (
    select account_id, max_by(status, changed_at) as status, max_by(trial_ends_at, changed_at) as trial_ends_at
    from subscriptions group by 1
) using (account_id)
left join (
    select
        user_id,
        count(distinct event_name) filter (where event_name in
            ('workspace_named', 'source_connected', 'first_report_built', 'team_profile_completed')) as steps,
        min(occurred_at) filter (where event_name = 'report_shared') as value_at,
        max(occurred_at) filter (where event_id like 'e%' or event_name = 'session_started') as last_seen_at,
        count(distinct occurred_at::date) filter (
            where occurred_at between $ends_at - interval 56 day and $ends_at - interval 28 day) as prior_days,
        count(distinct occurred_at::date) filter (where occurred_at > $ends_at - interval 28 day) as recent_days,
        max(occurred_at) filter (where event_name = 'payment_failed') as failed_at,
        max(occurred_at) filter (where event_name = 'payment_succeeded') as paid_at,
        max(properties) filter (where event_name = 'terms_accepted') as terms
    from events group by 1
) using (user_id)
where not is_internal
"""
CONDITIONS = {
    "welcome": "days_old < 2",
    "setup_stalled": "days_old between 2 and 14 and steps < 3 and value_at is null",
    "first_value": "days_old between 3 and 30 and steps >= 3 and value_at is null",
    "invite_teammates": "is_owner and account_users = 1 and value_at is not null and recent_days >= 3",
    "trial_ending": "status = 'trialing' and role in ('owner', 'admin')"
    " and date_diff('hour', $ends_at, trial_ends_at) between 24 and 96",
    "usage_limit": "account_users >= 0.9 * seats and role in ('owner', 'admin')",
    "payment_failed": "is_owner and failed_at > $ends_at - interval 5 day and (paid_at is null or paid_at < failed_at)",
    "churn_risk": "days_quiet between 10 and 28 and prior_days >= 4",
    "winback": "days_quiet between 30 and 90 and value_at is not null",
    "terms_update": """is_owner and terms != '{"version":"2026-08"}'""",
}


def value(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    """The one figure that `sql` gives."""
    return connection.execute(sql).fetchall()[0][0]


@pytest.mark.slow
def test_a_first_tick_finds_people_for_every_campaign(
    tmp_path: Path, open_company: Callable[[Path], duckdb.DuckDBPyConnection]
) -> None:
    """A dozen to some hundreds each among 10,000 people: enough to look at, few enough to be believed."""
    generate(tmp_path / "demo")
    with open_company(tmp_path / "demo") as connection:
        connection.execute(PEOPLE, {"ends_at": ENDS_AT})
        found = {
            campaign: connection.execute(
                f"select count(*), $ends_at from seen where {condition}", {"ends_at": ENDS_AT}
            ).fetchall()[0][0]
            for campaign, condition in CONDITIONS.items()
        }

    assert {campaign: people for campaign, people in found.items() if not 12 <= people <= 800} == {}


def test_an_account_begins_free_or_on_trial(ledgerline: duckdb.DuckDBPyConnection) -> None:
    """Ledgerline's own account apart, which pays nobody."""
    first = """
        select distinct status from (
            select account_id, min_by(status, changed_at) as status from subscriptions group by 1
        ) inner join accounts using (account_id) where name != 'Ledgerline'
    """

    assert {row[0] for row in ledgerline.execute(first).fetchall()} == {"free", "trialing"}


def test_a_trial_lasts_fourteen_days(ledgerline: duckdb.DuckDBPyConnection) -> None:
    other = "trial_ends_at != changed_at + interval 14 day or (status = 'trialing') != (trial_ends_at is not null)"

    assert value(ledgerline, f"select count(*) from subscriptions where {other}") == 0
    assert value(ledgerline, "select count(*) from subscriptions where status = 'trialing'") > 100


def test_no_trial_outlives_its_end(ledgerline: duckdb.DuckDBPyConnection) -> None:
    expired = f"""
        select count(*) from (
            select max_by(status, changed_at) as status, max_by(trial_ends_at, changed_at) as trial_ends_at
            from subscriptions group by account_id
        ) where status = 'trialing' and trial_ends_at <= timestamp '{ENDS_AT}'
    """

    assert value(ledgerline, expired) == 0


def test_only_paying_accounts_bring_revenue(ledgerline: duckdb.DuckDBPyConnection) -> None:
    wrong = "(mrr > 0) != (status in ('active', 'past_due')) or (plan = 'free') != (status in ('free', 'cancelled'))"

    assert value(ledgerline, f"select count(*) from subscriptions where {wrong}") == 0


def test_an_account_shows_the_plan_of_its_last_change(ledgerline: duckdb.DuckDBPyConnection) -> None:
    other = """
        select count(*) from accounts inner join (
            select account_id, max_by(plan, changed_at) as plan, max_by(mrr, changed_at) as mrr
            from subscriptions group by 1
        ) as latest using (account_id) where latest.plan != accounts.plan or latest.mrr != accounts.mrr
    """

    assert value(ledgerline, other) == 0


def test_all_states_of_a_subscription_occur(ledgerline: duckdb.DuckDBPyConnection) -> None:
    states = {row[0] for row in ledgerline.execute("select distinct status from subscriptions").fetchall()}

    assert states == {"trialing", "active", "past_due", "cancelled", "free"}


def test_some_failed_payments_are_never_recovered(ledgerline: duckdb.DuckDBPyConnection) -> None:
    last = """
        select account_id, max(occurred_at) filter (where event_name = 'payment_failed') as failed_at,
            max(occurred_at) filter (where event_name = 'payment_succeeded') as paid_at
        from events group by 1
    """
    lost = value(ledgerline, f"select count(*) from ({last}) where failed_at > paid_at")
    failed = value(ledgerline, f"select count(*) from ({last}) where failed_at is not null")

    assert 0 < lost < 0.7 * failed


def test_payments_are_the_owners_events(ledgerline: duckdb.DuckDBPyConnection) -> None:
    others = """
        select count(*) from events inner join accounts using (account_id)
        where event_name in ('payment_succeeded', 'payment_failed', 'plan_upgraded', 'trial_started')
            and user_id != owner_user_id
    """

    assert value(ledgerline, others) == 0


def test_invitations_are_accepted_after_they_were_sent(ledgerline: duckdb.DuckDBPyConnection) -> None:
    sent = value(ledgerline, "select count(distinct event_id) from events where event_name = 'teammate_invited'")
    accepted = value(ledgerline, "select count(distinct event_id) from events where event_name = 'invitation_accepted'")
    unasked = """
        select count(*) from (
            select account_id, min(occurred_at) as occurred_at from events
            where event_name = 'invitation_accepted' group by 1
        ) as accepted left join (
            select account_id, min(occurred_at) as occurred_at from events
            where event_name = 'teammate_invited' group by 1
        ) as sent using (account_id) where sent.occurred_at is null or sent.occurred_at > accepted.occurred_at
    """

    assert 0.5 * sent < accepted < sent
    # one in ten thousand rows lost its name, so the first invitation of an account can be missing
    assert value(ledgerline, unasked) <= 2


def test_most_owners_accepted_the_newest_terms(ledgerline: duckdb.DuckDBPyConnection) -> None:
    accepted = """
        select avg((newest is not null)::int) from accounts left join (
            select user_id, min(occurred_at) as newest from events
            where event_name = 'terms_accepted' and properties like '%2026-08%' group by 1
        ) as terms on terms.user_id = owner_user_id
    """

    assert 0.6 < value(ledgerline, accepted) < 0.95
