with users as (select * from {{ ref('int_users_enriched') }}),

conditions as (
    select
        user_id,
        activated_at + interval '7 days' as triggered_at,
        'first_invite' as occurrence_key,
        {{ facts(['first_name', 'account_name', 'account_users', 'seats']) }} as facts,
        -- a week of own use first; after two the moment to ask has passed
        coalesce(
            activated_at + interval '7 days' <= {{ as_of() }}
            and activated_at + interval '14 days' > {{ as_of() }},
            false
        ) as is_in_second_week_of_use,
        coalesce(active_days_28d >= 4, false) as has_weekly_habit,
        coalesce(invites_sent = 0, false) as has_invited_nobody,
        coalesce(account_users < seats, false) as has_free_seat
    from users
)

select {{ candidate_columns() }}
from conditions
where
    is_in_second_week_of_use
    and has_weekly_habit
    and has_invited_nobody
    and has_free_seat
