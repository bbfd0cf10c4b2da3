{{ config(materialized='kept') }}
-- noqa: disable=LT02
-- depends_on: {{ ref('stg_events') }}
{%- set seen = "kind in ('session', 'feature', 'value', 'setup_step')" %}
{%- set window = var('recent_days') %}
{%- set recent = "days_ago < " ~ window %}
with user_days as (

    select
        *,
        {{ days_between('event_date', as_of()) }} as days_ago
    from {{ ref('int_user_days') }}

),
{% if moves_on() %}
arrived as (

    select
        user_id,
        cast(occurred_at as date) as event_date,
        count(*) as events,
        count(*) filter (where kind = 'invite') as invites
    from {{ ref('stg_events') }}
    where received_at > {{ received_until() }}
    group by 1, 2

),
{% endif %}
-- One row per user and day{{ ', of the days for which something arrived' if moves_on() }}
days as (

    select
        user_days.user_id,
        user_days.days_ago,
        user_days.event_date,
        sum(user_days.events) as events,
        bit_count(bit_or(user_days.hour_bits)) as hours,
        coalesce(bool_or({{ seen }}), false) as is_seen,
        min(user_days.first_at) filter (where kind = 'value') as valued_at,
        max(user_days.last_at) filter (where {{ seen }}) as seen_at,
        {%- if moves_on() %}
        max(arrived.events) as arrived_events,
        max(arrived.invites) as arrived_invites
        {%- else %}
        sum(user_days.events) filter (where kind = 'invite') as invites
        {%- endif %}
    from user_days
    {%- if moves_on() %}
    inner join arrived using (user_id, event_date)
    {%- endif %}
    group by 1, 2, 3

),

days_per_user as (

    select
        user_id,
        {%- if moves_on() %}
        -- a day of which everything has arrived now was none before
        count(*) filter (where events = arrived_events) as days_ever,
        sum(arrived_events) as events_ever,
        sum(arrived_events) filter (where days_ago < {{ window + days_moved() }}) as events_28d,
        sum(arrived_invites) as invites_sent,
        {%- else %}
        count(*) filter (where is_seen and days_ago < 7) as active_days_7d,
        count(*) filter (where is_seen and {{ recent }}) as active_days_28d,
        count(*) filter (
            where is_seen and not {{ recent }} and days_ago < {{ 2 * window }}
        ) as active_days_prior_28d,
        count(*) as days_ever,
        cast(sum(events) as bigint) as events_ever,
        cast(coalesce(sum(events) filter (where {{ recent }}), 0) as bigint) as events_28d,
        cast(coalesce(sum(invites), 0) as bigint) as invites_sent,
        {%- endif %}
        cast(max(hours) as bigint) as most_hours,
        min(valued_at) as activated_at,
        max(seen_at) as last_seen_at,
        bit_or({{ day_bit('days_ago', 'is_seen') }}) as seen_bits
    from days
    group by 1

),
{% if moves_on() %}
-- the days that leave the window, with what has arrived for them
days_left as (

    select
        user_id,
        sum(events) as events
    from user_days
    where not {{ recent }} and days_ago < {{ window + days_moved() }}
    group by 1

),

carried as (

    select
        coalesce(known.user_id, arrived.user_id) as user_id,
        {{ moved_bits('coalesce(known.seen_bits, cast(0 as hugeint))', days_moved()) }}
        | coalesce(arrived.seen_bits, cast(0 as hugeint)) as seen_bits,
        cast(
            coalesce(known.events_28d, 0) + coalesce(arrived.events_28d, 0) - coalesce(days_left.events, 0)
            as bigint
        ) as events_28d,
        {%- for column in ['days_ever', 'events_ever', 'invites_sent'] %}
        cast(
            coalesce(known.{{ column }}, 0) + coalesce(arrived.{{ column }}, 0) as bigint
        ) as {{ column }},
        {%- endfor %}
        greatest(known.most_hours, arrived.most_hours) as most_hours,
        least(known.activated_at, arrived.activated_at) as activated_at,
        greatest(known.last_seen_at, arrived.last_seen_at) as last_seen_at
    from {{ this }} as known
    full outer join days_per_user as arrived on known.user_id = arrived.user_id
    left join days_left
        on coalesce(known.user_id, arrived.user_id) = days_left.user_id

),

-- what the full SQL counts, read from the bits of the days
windows as (

    select
        *,
        {{ days_set('seen_bits', 7) }} as active_days_7d,
        {{ days_set('seen_bits', window) }} as active_days_28d,
        {{ days_set('seen_bits', window, from_days_ago=window) }} as active_days_prior_28d,
        {{ nth_day_set('seen_bits', window, var('engaged_active_days')) }} as engaged_since,
        {{ nth_day_set('seen_bits', window, var('power_active_days')) }} as power_since
    from carried

),
{% else %}
-- the nth day seen within the recent days: the day on which a habit of n days was reached
recent_days as (

    select
        user_id,
        event_date,
        row_number() over (partition by user_id order by event_date) as nth_day
    from days
    where is_seen and {{ recent }}

),

habits as (

    select
        user_id,
        min(event_date) filter (where nth_day = {{ var('engaged_active_days') }}) as engaged_since,
        min(event_date) filter (where nth_day = {{ var('power_active_days') }}) as power_since
    from recent_days
    group by 1

),

windows as (

    select
        days_per_user.*,
        habits.engaged_since,
        habits.power_since
    from days_per_user
    left join habits on days_per_user.user_id = habits.user_id

),
{% endif %}
features as (
    select
        user_id,
        count(distinct label) as features_used_28d
    from user_days
    where kind = 'feature' and {{ recent }}
    group by 1
)

select
    windows.user_id,
    windows.active_days_7d,
    windows.active_days_28d,
    windows.active_days_prior_28d,
    windows.events_28d,
    coalesce(features.features_used_28d, 0) as features_used_28d,
    windows.invites_sent,
    windows.most_hours >= {{ var('bot_active_hours_per_day') }}
    or windows.events_ever / windows.days_ever > {{ var('bot_events_per_day') }} as is_bot,
    windows.engaged_since,
    windows.power_since,
    windows.activated_at,
    windows.last_seen_at,
    -- what the next tick moves on
    windows.seen_bits,
    windows.most_hours,
    windows.days_ever,
    windows.events_ever
from windows
left join features on windows.user_id = features.user_id
