with users as (select * from {{ ref('int_users_enriched') }}),

seats_by_arrival as (
    select
        account_id,
        created_at,
        seats,
        row_number() over (
            partition by account_id order by created_at, user_id
        ) as seat_number
    from users
    where account_id is not null
),

-- the arrival that took the seat which made four of five taken
limits as (
    select
        account_id,
        min(created_at) as limit_reached_at
    from seats_by_arrival
    where seat_number >= 0.8 * seats
    group by 1
),

teams as (
    select
        users.*,
        limits.limit_reached_at
    from users
    left join limits on users.account_id = limits.account_id
),

conditions as (
    select
        user_id,
        limit_reached_at as triggered_at,
        -- more seats bought and filled again is a new occasion
        'seats ' || cast(seats as varchar) as occurrence_key,
        {{ facts(['first_name', 'account_name', 'plan', 'seats', 'account_users']) }} as facts,
        coalesce(is_account_owner, false) as is_owner,
        -- a trial has a mail of its own, a closed account needs no seats
        coalesce(subscription_status in ('active', 'free'), false) as is_on_a_plan,
        coalesce(seats_used_share >= 0.8, false) as has_seats_nearly_used,
        coalesce(limit_reached_at > {{ as_of() }} - interval '30 days', false)
            as is_reached_lately,
        -- seats of people who stay away are no reason to buy more
        coalesce(account_active_users_28d >= 0.5 * account_users, false) as has_active_team
    from teams
)

select {{ candidate_columns() }}
from conditions
where
    is_owner
    and is_on_a_plan
    and has_seats_nearly_used
    and is_reached_lately
    and has_active_team
