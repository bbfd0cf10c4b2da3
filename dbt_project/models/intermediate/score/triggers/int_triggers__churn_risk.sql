with users as (select * from {{ ref('int_users_enriched') }}),

scores as (
    select * from {{ ref('int_user_scores') }}
    where score = 'churn_risk'
),

risks as (
    select
        users.*,
        scores.value as churn_risk
    from users
    left join scores on users.user_id = scores.user_id
),

conditions as (
    select
        user_id,
        last_seen_at + interval '10 days' as triggered_at,
        cast(cast(last_seen_at as date) as varchar) as occurrence_key,
        {{ facts(['first_name', 'account_name', 'days_since_last_seen']) }} as facts,
        coalesce(churn_risk >= 0.5, false) as has_high_churn_risk,
        activated_at is not null as is_activated,
        -- who came less than weekly before has not changed their ways
        coalesce(active_days_28d + active_days_prior_28d >= 8, false) as has_had_a_habit,
        -- up to ten days is a holiday; from four weeks on winback takes over
        coalesce(
            last_seen_at + interval '10 days' <= {{ as_of() }}
            and last_seen_at + interval '28 days' > {{ as_of() }},
            false
        ) as is_quiet_for_ten_days
    from risks
)

select {{ candidate_columns() }}
from conditions
where
    has_high_churn_risk
    and is_activated
    and has_had_a_habit
    and is_quiet_for_ten_days
