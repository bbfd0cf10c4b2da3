{%- set seen = "kind in ('session', 'feature', 'value', 'setup_step')" %}
{%- set recent = "days_ago < " ~ var('recent_days') %}
with user_days as (

    select
        *,
        {{ days_between('event_date', as_of()) }} as days_ago
    from {{ ref('int_user_days') }}

),

-- one row per user and day
days as (

    select
        user_id,
        days_ago,
        event_date,
        sum(events) as events,
        bit_count(bit_or(hour_bits)) as hours,
        coalesce(bool_or({{ seen }}), false) as is_seen,
        min(first_at) filter (where kind = 'value') as valued_at,
        max(last_at) filter (where {{ seen }}) as seen_at,
        coalesce(sum(events) filter (where kind = 'invite'), 0) as invites
    from user_days
    group by 1, 2, 3

),

days_per_user as (

    select
        user_id,
        count(*) filter (where is_seen and days_ago < 7) as active_days_7d,
        count(*) filter (where is_seen and {{ recent }}) as active_days_28d,
        count(*) filter (
            where is_seen and not {{ recent }} and days_ago < 2 * {{ var('recent_days') }}
        ) as active_days_prior_28d,
        cast(
            coalesce(sum(events) filter (where {{ recent }}), 0) as bigint
        ) as events_28d,
        cast(sum(invites) as bigint) as invites_sent,
        max(hours) >= {{ var('bot_active_hours_per_day') }}
        or avg(events) > {{ var('bot_events_per_day') }} as is_bot,
        min(valued_at) as activated_at,
        max(seen_at) as last_seen_at
    from days
    group by 1

),

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
        min(event_date) filter (
            where nth_day = {{ var('engaged_active_days') }}
        ) as engaged_since,
        min(event_date) filter (
            where nth_day = {{ var('power_active_days') }}
        ) as power_since
    from recent_days
    group by 1

),

features as (

    select
        user_id,
        count(distinct label) as features_used_28d
    from user_days
    where kind = 'feature' and {{ recent }}
    group by 1

)

select
    days_per_user.user_id,
    days_per_user.active_days_7d,
    days_per_user.active_days_28d,
    days_per_user.active_days_prior_28d,
    days_per_user.events_28d,
    coalesce(features.features_used_28d, 0) as features_used_28d,
    days_per_user.invites_sent,
    days_per_user.is_bot,
    habits.engaged_since,
    habits.power_since,
    days_per_user.activated_at,
    days_per_user.last_seen_at
from days_per_user
left join habits on days_per_user.user_id = habits.user_id
left join features on days_per_user.user_id = features.user_id
