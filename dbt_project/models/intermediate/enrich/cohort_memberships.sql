with users as (

    select * from {{ ref('int_users_enriched') }}

),

memberships as (

    select
        user_id,
        'new' as cohort,
        cast(created_at as date) as since
    from users
    where days_since_signup < {{ var('new_user_days') }}

    union all

    select
        user_id,
        'activated' as cohort,
        cast(activated_at as date) as since
    from users
    where activated_at is not null

    union all

    select
        user_id,
        'engaged' as cohort,
        engaged_since as since
    from users
    where engaged_since is not null

    union all

    select
        user_id,
        'power' as cohort,
        power_since as since
    from users
    where power_since is not null

    union all

    -- who was never seen is not dormant: nothing slept in
    select
        user_id,
        'dormant' as cohort,
        cast({{ dbt.dateadd('day', var('dormant_days'), 'last_seen_at') }} as date) as since
    from users
    where days_since_last_seen >= {{ var('dormant_days') }}

    union all

    select
        user_id,
        'trialing' as cohort,
        cast(subscription_changed_at as date) as since
    from users
    where subscription_status = 'trialing'

    union all

    select
        user_id,
        'paying' as cohort,
        cast(subscription_changed_at as date) as since
    from users
    where subscription_status = 'active' and mrr > 0

    union all

    -- the fall has no day of its own: it counts from the last day that the user was seen
    select
        user_id,
        'at_risk' as cohort,
        cast(last_seen_at as date) as since
    from users
    where
        active_days_prior_28d >= {{ var('engaged_active_days') }}
        and active_days_28d <= {{ var('at_risk_activity_share') }} * active_days_prior_28d

)

select * from memberships
