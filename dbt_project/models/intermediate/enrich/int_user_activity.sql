{{ config(materialized='kept') }}
-- depends_on: {{ ref('stg_events') }}
-- noqa: disable=LT02
{%- set seen = "kind in ('session', 'feature', 'value', 'setup_step')" %}
{%- set window = var('recent_days') %}
with user_days as (

    select * from {{ ref('int_user_days') }}

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
    group by 1, 2

),

days_per_user as (

    select
        user_id,
        {%- if moves_on() %}
        -- a day of which everything has arrived now was none before
        count(*) filter (where events = arrived_events) as days_ever,
        sum(arrived_events) as events_ever,
        sum(arrived_events) filter (where event_date >= {{ day_ago(window + days_moved() - 1) }}) as events_28d,
        sum(arrived_invites) as invites_sent,
        {%- else %}
        count(*) as days_ever,
        cast(sum(events) as bigint) as events_ever,
        cast(coalesce(
            sum(events) filter (where event_date >= {{ day_ago(window - 1) }}), 0
        ) as bigint) as events_28d,
        cast(coalesce(sum(invites), 0) as bigint) as invites_sent,
        {%- endif %}
        cast(max(hours) as bigint) as most_hours,
        min(valued_at) as activated_at,
        max(seen_at) as last_seen_at,
        bit_or({{ day_bit(days_between('event_date', as_of()), 'is_seen') }}) as seen_bits
    from days
    group by 1

),
{% if moves_on() %}
-- the days that leave the window, with what has arrived for them
days_left as (

    select
        user_id,
        sum(events) as events
    from {{ ref('int_user_days') }}
    where
        event_date >= {{ day_ago(window + days_moved() - 1) }}
        and event_date < {{ day_ago(window - 1) }}
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

{% endif %}
-- the windows, and the day on which a habit of n days was reached, are read from the bits of the days
windows as (

    select
        *,
        {{ days_set('seen_bits', 7) }} as active_days_7d,
        {{ days_set('seen_bits', window) }} as active_days_28d,
        {{ days_set('seen_bits', window, from_days_ago=window) }} as active_days_prior_28d,
        {{ nth_day_set('seen_bits', window, var('engaged_active_days')) }} as engaged_since,
        {{ nth_day_set('seen_bits', window, var('power_active_days')) }} as power_since
    from {{ 'carried' if moves_on() else 'days_per_user' }}

),

features as (

    select
        user_id,
        count(feature) as features_used_28d
    from {{ ref('int_user_features') }}
    where events_28d > 0
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
