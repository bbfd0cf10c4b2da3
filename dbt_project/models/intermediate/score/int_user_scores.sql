-- plain rules: each score is a weighted sum of parts between 0 and 1
with users as (select * from {{ ref('int_users_enriched') }}),

signals as (
    select
        user_id,
        seats,
        coalesce(active_days_28d, 0) as active_days,
        coalesce(active_days_prior_28d, 0) as active_days_before,
        coalesce(features_used_28d, 0) as features_used,
        coalesce(days_since_last_seen, days_since_signup, 0) as days_away,
        least(coalesce(seats_used_share, 0), 1) as fullness,
        coalesce(account_active_users_28d, 0) as team_active,
        greatest(coalesce(account_users, 0), 1) as team
    from users
),

parts as (
    select
        *,
        -- full use: all twenty working days of four weeks, and four features
        least(active_days / 20.0, 1) as presence,
        least(features_used / 4.0, 1) as breadth,
        -- four weeks away count as gone
        least(greatest(days_away, 0) / 28.0, 1) as absence,
        -- with no active day before, there is nothing to decline from
        1.0
        * greatest(active_days_before - active_days, 0)
        / greatest(active_days_before, 1) as decline
    from signals
),

engagement as (
    select
        user_id,
        'engagement' as score,
        0.7 * presence + 0.3 * breadth as value,
        active_days || ' active days and ' || features_used || ' features in four weeks' as driver
    from parts
),

churn_risk as (
    select
        user_id,
        'churn_risk' as score,
        0.5 * absence + 0.5 * decline as value,
        case
            when absence >= decline then 'last seen ' || days_away || ' days ago'
            else 'active days went from ' || active_days_before || ' to ' || active_days
        end as driver
    from parts
),

-- without a known number of seats there is nothing to grow into: the score is 0
expansion as (
    select
        user_id,
        'expansion' as score,
        case when seats > 0 then 0.6 * fullness + 0.4 * team_active / team else 0 end as value,
        case
            when seats > 0
                then
                    cast(round(100 * fullness) as integer) || ' % of seats used, '
                    || team_active || ' of ' || team || ' people active'
            else 'number of seats unknown'
        end as driver
    from parts
),

scores as (
    select * from engagement
    union all
    select * from churn_risk
    union all
    select * from expansion
)

select
    user_id,
    score,
    round(cast(value as double), 4) as value,
    driver,
    'rule-1' as model_version
from scores
