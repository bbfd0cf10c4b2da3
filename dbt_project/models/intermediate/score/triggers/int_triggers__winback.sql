with users as (select * from {{ ref('int_users_enriched') }}),

absences as (
    select
        *,
        cast(floor(days_since_last_seen / 7.0) as integer) as weeks_away
    from users
),

conditions as (
    select
        user_id,
        last_seen_at + interval '28 days' as triggered_at,
        cast(cast(last_seen_at as date) as varchar) as occurrence_key,
        {{ facts(['first_name', 'account_name', 'weeks_away']) }} as facts,
        -- nobody is won back who was never won
        activated_at is not null as is_activated,
        coalesce(last_seen_at + interval '28 days' <= {{ as_of() }}, false)
            as is_away_for_four_weeks,
        coalesce(last_seen_at + interval '42 days' > {{ as_of() }}, false)
            as is_not_away_for_six_weeks
    from absences
)

select {{ candidate_columns() }}
from conditions
where is_activated and is_away_for_four_weeks and is_not_away_for_six_weeks
