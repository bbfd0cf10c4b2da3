with user_days as (

    select
        *,
        {{ days_between('event_date', as_of()) }} as days_ago
    from {{ ref('int_user_days') }}
    where kind = 'feature'

),

user_features as (

    select
        user_id,
        label as feature,
        cast(coalesce(
            sum(events) filter (where days_ago < {{ var('recent_days') }}), 0
        ) as bigint) as events_28d,
        min(first_at) as first_used_at,
        max(last_at) as last_used_at
    from user_days
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
