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
        coalesce(bool_or({{ seen }}), false) as is_seen
    from user_days
    group by 1, 2, 3

),

-- the nth day seen within the recent days: the day on which a habit of n days was reached
ranked_days as (

    select
        *,
        row_number() over (
            partition by user_id, is_seen and {{ recent }}
            order by event_date
        ) as nth_recent_day
    from days

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
        min(event_date) filter (
            where is_seen and {{ recent }}
            and nth_recent_day = {{ var('engaged_active_days') }}
        ) as engaged_since,
        min(event_date) filter (
            where is_seen and {{ recent }}
            and nth_recent_day = {{ var('power_active_days') }}
        ) as power_since,
        max(hours) >= {{ var('bot_active_hours_per_day') }}
        or avg(events) > {{ var('bot_events_per_day') }} as is_bot
    from ranked_days
    group by 1

),

kinds_per_user as (

    select
        user_id,
        min(first_at) filter (where kind = 'value') as activated_at,
        max(last_at) filter (where {{ seen }}) as last_seen_at,
        count(distinct label) filter (
            where kind = 'feature' and {{ recent }}
        ) as features_used_28d,
        cast(
            coalesce(sum(events) filter (where kind = 'invite'), 0) as bigint
        ) as invites_sent
    from user_days
    group by 1

)

select
    days_per_user.user_id,
    days_per_user.active_days_7d,
    days_per_user.active_days_28d,
    days_per_user.active_days_prior_28d,
    days_per_user.events_28d,
    kinds_per_user.features_used_28d,
    kinds_per_user.invites_sent,
    days_per_user.is_bot,
    days_per_user.engaged_since,
    days_per_user.power_since,
    kinds_per_user.activated_at,
    kinds_per_user.last_seen_at
from days_per_user
inner join kinds_per_user on days_per_user.user_id = kinds_per_user.user_id
