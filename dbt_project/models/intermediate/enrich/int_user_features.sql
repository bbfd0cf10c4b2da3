{{ config(materialized='kept') }}
-- noqa: disable=LT02
-- depends_on: {{ ref('stg_events') }}
{%- set window = var('recent_days') %}
-- What adds up to the use of a feature: its days; or what is known, what has arrived and the days that leave.
with parts as (
{% if moves_on() %}
    select
        user_id,
        feature,
        events_28d,
        first_used_at,
        last_used_at
    from {{ this }}

    union all

    select
        user_id,
        label as feature,
        count(*) filter (where occurred_at >= {{ day_ago(window + days_moved() - 1) }}) as events_28d,
        min(occurred_at) as first_used_at,
        max(occurred_at) as last_used_at
    from {{ ref('stg_events') }}
    where kind = 'feature' and received_at > {{ received_until() }}
    group by 1, 2

    union all

    select
        user_id,
        label as feature,
        -events as events_28d,
        first_at as first_used_at,
        last_at as last_used_at
    from {{ ref('int_user_days') }}
    where
        kind = 'feature'
        and event_date >= {{ day_ago(window + days_moved() - 1) }}
        and event_date < {{ day_ago(window - 1) }}
{% else %}
    select
        user_id,
        label as feature,
        case when event_date >= {{ day_ago(window - 1) }} then events else 0 end as events_28d,
        first_at as first_used_at,
        last_at as last_used_at
    from {{ ref('int_user_days') }}
    where kind = 'feature'
{% endif %}
),

user_features as (

    select
        user_id,
        feature,
        cast(sum(events_28d) as bigint) as events_28d,
        min(first_used_at) as first_used_at,
        max(last_used_at) as last_used_at
    from parts
    group by 1, 2

),

ranked as (

    select
        *,
        -- rank 1 is the feature used most; the name decides between equals
        row_number() over (
            partition by user_id
            order by events_28d desc, feature asc
        ) as rank_28d
    from user_features

)

select * from ranked
