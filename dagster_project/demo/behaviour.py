"""What people do: milestones, which are kept for ever, and usage, which is kept for `days`. One event per row.

Both are finished by the same select, which adds what telemetry adds: transport delay, late arrivals from devices that
were offline, deliveries repeated under the same event_id, and a few rows that no consumer can read.
"""

from __future__ import annotations

FIRST_TERMS, TERMS = "2023-06", "2025-01"
SURFACES = ('{"surface":"web"}', '{"surface":"mobile"}')


def vocabulary(newest_terms: str) -> list[str]:
    """Every event name and every text of `properties`, in a fixed order.

    Events carry a word's number until they are written: numbers sort faster and take less memory than strings.
    """
    names = (
        *("signed_up", "session_started", "workspace_named", "source_connected", "first_report_built"),
        *("team_profile_completed", "report_shared", "dashboard_viewed", "report_created", "alert_created"),
        *("automation_built", "export_run", "api_called", "integration_connected", "teammate_invited"),
        *("invitation_accepted", "trial_started", "plan_upgraded", "payment_succeeded", "payment_failed"),
        *("terms_accepted", "legacy_ping"),
    )
    details = {
        "via": ("web", "invitation"),
        "source": ("postgres", "bigquery", "sheets", "csv", "stripe"),
        "with": ("teammate",),
        "version": (FIRST_TERMS, TERMS, newest_terms),
        "role": ("admin", "member", "viewer"),
        "plan": ("starter", "team", "business"),
        "reason": ("card_expired", "insufficient_funds", "declined"),
        "by": ("retry",),
    }
    return [*names, *SURFACES, *(f'{{"{key}":"{value}"}}' for key, values in details.items() for value in values)]


MACROS = """
create temp macro word(text) as list_position(getvariable('words'), text)::utinyint;
create temp macro detail(key, value) as word('{"' || key || '":"' || value || '"}')
"""

# Milestones are sparse, so they are made at once and kept in memory until written: some 9 per user, and the invoices.
MILESTONES = """
create temp table milestones as
-- Signing up, and the steps of setting up; a step on a later day needs a session of its own.
select user_num, account_num, word('signed_up') as event, created_at as occurred_at, 0 as ordinal,
    detail('via', if(position = 0, 'web', 'invitation')) as properties
from habits
union all
select user_num, account_num, word('session_started'), later(created_at, 0.0002), 1, detail('surface', 'web')
    from habits
union all
select user_num, account_num, word('workspace_named'), step_1, 2, null from habits where step_1 is not null
union all
select user_num, account_num, word('source_connected'), step_2, 3,
    detail('source', chosen('source', user_num, ['postgres', 'bigquery', 'sheets', 'csv', 'stripe']))
from habits where step_2 is not null
union all
select user_num, account_num, word('first_report_built'), step_3, 4, null from habits where step_3 is not null
union all
select user_num, account_num, word('team_profile_completed'), step_4, 5, null from habits where step_4 is not null
union all
select user_num, account_num, word('session_started'), later(step_2, -0.001), 6, detail('surface', 'web')
from habits where step_2 > later(step_1, 0.1)
union all
select user_num, account_num, word('session_started'), later(step_3, -0.001), 7, detail('surface', 'web')
from habits where step_3 > later(step_2, 0.1)
union all
select user_num, account_num, word('report_shared'), value_at, 8, detail('with', 'teammate')
from habits where value_at is not null
-- Every person accepts the terms of the day at sign-up. Owners were asked again when they changed; most of those who
-- still come accepted, and many of the others did from the notice.
union all
select user_num, account_num, word('terms_accepted'), later(created_at, 0.0001), 9, detail('version', case
    when created_at >= getvariable('terms_at') then getvariable('newest_terms')
    when created_at >= timestamp '2025-01-15' then '2025-01'
    else '2023-06' end)
from habits
union all
select user_num, account_num, word('terms_accepted'), later(timestamp '2025-01-15', 0.1 + 20 * draw('terms 2025',
    user_num)),
    10, detail('version', '2025-01')
from habits where position = 0 and created_at < timestamp '2025-01-15'
union all
select user_num, account_num, word('terms_accepted'),
    later(getvariable('terms_at'), 0.05 + draw_exponential('terms when', user_num, 2.5)),
    11, detail('version', getvariable('newest_terms'))
from habits
where position = 0 and created_at < getvariable('terms_at')
    and draw('terms', user_num) < if(left_at > getvariable('terms_at'), 0.90, 0.70)
-- Teammates: nine in ten who joined were invited by the owner; some invitations are never taken up.
union all
select owners.user_num, account_num, word('teammate_invited'),
    greatest(later(joined.created_at, -3 * draw('invited', joined.user_num)), later(owners.created_at, 0.003)),
    1000 + joined.position, detail('role', joined.role)
from habits as joined
inner join (select user_num, account_num, created_at from habits where position = 0) as owners using (account_num)
where joined.position > 0 and draw('was invited', joined.user_num) < 0.9
union all
select user_num, account_num, word('invitation_accepted'), created_at, 12, null
from habits where position > 0 and draw('was invited', user_num) < 0.9
union all
select user_num, account_num, word('teammate_invited'), later(created_at, 0.02 + 20 * draw('invites when', user_num)),
    13,
    detail('role', 'member')
from habits where position = 0 and draw('invites in vain', user_num) < 0.15
-- Trials, plans, payments: the owner's events.
union all
select first_num, account_num, word('trial_started'), trial_at, 14, detail('plan', first_plan)
from commerce where trial_at is not null
union all
select first_num, account_num, word('plan_upgraded'), paid_at, 15, detail('plan', first_plan)
from commerce where paid_at is not null and account_num > 0
union all
select first_num, account_num, word('plan_upgraded'), changed_at, 16, detail('plan', plan)
from subscription_changes inner join commerce using (account_num) where ordinal = 4
union all
select first_num, account_num, if(has_failed, word('payment_failed'), word('payment_succeeded')), due_at, 2000 + k,
    if(has_failed, detail('reason', chosen('reason', account_num * 1000 + k,
        ['card_expired', 'insufficient_funds', 'declined'])), null)
from invoices inner join commerce using (account_num)
union all
select first_num, account_num, word('payment_succeeded'), recovered_at, 4000 + k, detail('by', 'retry')
from invoices inner join commerce using (account_num) where recovered_at < coalesce(ended_at, getvariable('ends_at'))
"""

DRAFTED_MILESTONES = """
select
    user_num, account_num, 0 as day_num, ordinal as n, event, properties, occurred_at,
    mix('milestone', user_num * 8192 + ordinal) as dice
from milestones
where occurred_at <= getvariable('ends_at')
"""

# Only what usage needs, of those who could still be active in the window.
RHYTHMS = """
create temp table rhythms as
select
    user_num, account_num, zone_id, is_bot, intensity, depth, created_day, last_day, return_day, report_from,
        share_from,
    alert_from, export_from, api_from, integration_from, automation_from
from habits
where greatest(last_day, coalesce(return_day + 25, 0)) >= getvariable('first_day')
order by user_num
"""

# The calendar of a chunk as two lists, in the order (day, zone). A join would do, but DuckDB 2.0.0 fails in joins of
# this shape from about a million rows on ("dict-surviving cache: global dictionary column changed identity").
CHUNK = """
set variable chunk_weights = (
    select list(weight order by day_num, zone_id) from calendar
    where day_num between getvariable('chunk_first') and getvariable('chunk_last')
);
set variable chunk_offsets = (
    select list(offset_seconds order by day_num, zone_id) from calendar
    where day_num between getvariable('chunk_first') and getvariable('chunk_last')
);
set variable zones = (select count(*) from zones)
"""

# A person-day is active by chance: habit x weekday x season, halved in the fortnight before leaving, nothing in the
# weeks of leave that everyone takes (five in a hundred). An active day is a few sessions of seven events, inside
# office hours; a bot's day is hundreds of sessions evenly round the clock. `dice` is one hash per event, and its bits
# answer every question about it.
DRAFTED_USAGE = """
with dated as (
    select
        *,
        user_num * 65536 + day_num as person_day,
        (day_num - getvariable('chunk_first')) * getvariable('zones') + zone_id as calendar_place
    from (select *, unnest(range(getvariable('chunk_first'), getvariable('chunk_last') + 1))::int as day_num
        from rhythms)
),
person_days as (
    select *, getvariable('chunk_offsets')[calendar_place] as offset_seconds
    from dated
    where day_num > created_day
        and (day_num <= last_day or day_num between return_day and return_day + 25)
        and (is_bot or (
            draw('active', person_day) < intensity * getvariable('chunk_weights')[calendar_place]
                * if(day_num between last_day - 14 and last_day, 0.5, 1)
            and draw('leave', user_num * 4096 + (day_num + 3) // 7) >= 0.05
        ))
),
sized as (
    select
        *,
        case when is_bot then 160 + floor(140 * draw('depth', person_day))::int
            else 1 + least(floor(draw_exponential('depth', person_day, depth))::int, 34) end as events,
        office_minute('starts', person_day) * 60 + if(draw('evening', person_day) < 0.06, 18000, 0) - 1200 as starts
    from person_days
),
thrown as (
    select * exclude (n), n::int as n, mix('event', person_day * 512 + n) as dice
    from (select *, unnest(range(events)) as n from sized)
),
picked as (
    select *, (dice >> 10) & 1023 as pick, case when is_bot then n % 5 = 4 else n % 7 > 0 end as is_feature from thrown
)
select
    user_num, account_num, day_num, n,
    case
        when not is_feature then word('session_started')
        when is_bot then word('api_called')
        when pick < 400 then word('dashboard_viewed')
        when pick < 580 and day_num > report_from then word('report_created')
        when pick between 580 and 669 and day_num > share_from then word('report_shared')
        when pick between 670 and 799 and day_num > export_from then word('export_run')
        when pick between 800 and 869 and day_num > alert_from then word('alert_created')
        when pick between 870 and 939 and day_num > automation_from then word('automation_built')
        when pick between 940 and 984 and day_num > api_from then word('api_called')
        when pick >= 985 and day_num > integration_from then word('integration_connected')
        else word('dashboard_viewed')
    end as event,
    case when not is_feature then detail('surface', if((dice >> 20) & 7 = 0, 'mobile', 'web')) end as properties,
    make_timestamp(day_num * 86400000000) + to_seconds(case
        when is_bot then n * 86400 // events + (dice & 127)::int
        else starts + n % 7 * 150 + n // 7 * 6600 + (dice & 127)::int - offset_seconds
    end) as occurred_at,
    dice
from picked
"""

# Rows come in the order of arrival. 2 % arrive minutes to three days late, the others within 90 seconds; 0.3 % arrive
# again within ten minutes; under 0.1 % cannot be read: no user, no time, properties that are no JSON, an unknown
# name.
FINISHED = """
with sent as (
    select *, mix('quirk', dice) % 10000 as quirk, occurred_at + to_seconds(if((dice >> 24) & 1023 < 20,
        120 + ((dice >> 34) & 1023) * ((dice >> 34) & 1023) // 1024 * 253, (dice >> 34) % 91)::bigint)
            as first_received_at
    from ({drafted})
    where {during}
),
arrived as (
    select *, first_received_at + to_seconds((repeat * ((dice >> 54) & 511))::bigint) as received_at
    from (select *, unnest(if((dice >> 44) & 1023 < 3, [0::ubigint, 1::ubigint], [0::ubigint])) as repeat from sent)
),
ordered as (
    select user_num, account_num, day_num, n, event, properties, occurred_at, received_at, quirk
    from arrived
    where received_at <= getvariable('ends_at')
    order by received_at, dice, user_num, repeat
)
select
    if(day_num = 0, 'm' || user_num || '-' || n, 'e' || user_num || '-' || day_num || '-' || n) as event_id,
    case when quirk != 0 then user_key(user_num) end as user_id,
    account_key(account_num) as account_id,
    getvariable('words')[if(quirk = 1, word('legacy_ping'), event)] as event_name,
    case when quirk != 2 then occurred_at end as occurred_at,
    received_at,
    if(quirk in (3, 4), '{{"surface":', getvariable('words')[properties]) as properties
from ordered
"""
