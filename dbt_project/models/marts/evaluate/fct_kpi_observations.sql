{{ config(materialized='view') }}
with users as (
    select * from {{ ref('int_users_enriched') }}
    where not is_internal and not is_bot
),

user_days as (
    select * from {{ ref('int_user_days') }}
    where kind in ('session', 'feature', 'value', 'setup_step')
),

subscriptions as (select * from {{ ref('stg_subscriptions') }}),

activations as (
    select
        'activation_rate' as kpi,
        user_id as unit_id,
        cast(created_at as date) as kpi_date,
        coalesce(activated_at < created_at + to_days(7), false) as is_success,
        cast(created_at as date) + 8 as known_from
    from users
),

retentions as (
    select
        'retention_28d' as kpi,
        users.user_id as unit_id,
        cast(users.created_at as date) as kpi_date,
        -- seen in the fourth week, so that every weekday had its chance
        count(user_days.event_date) > 0 as is_success,
        cast(users.created_at as date) + 29 as known_from
    from users
    left join user_days
        on
            users.user_id = user_days.user_id
            and user_days.event_date
            between cast(users.created_at as date) + 22
            and cast(users.created_at as date) + 28
    group by 1, 2, 3, 5
),

trials as (
    select
        account_id,
        max(trial_ends_at) as trial_ends_at
    from subscriptions
    where status = 'trialing'
    group by 1
),

trial_conversions as (
    select
        'trial_conversion_rate' as kpi,
        trials.account_id as unit_id,
        cast(trials.trial_ends_at as date) as kpi_date,
        -- a first payment may come some days after the trial
        count(*) filter (
            where
            subscriptions.status = 'active' and subscriptions.mrr > 0
            and subscriptions.changed_at < trials.trial_ends_at + to_days(7)
        ) > 0 as is_success,
        cast(trials.trial_ends_at as date) + 8 as known_from
    from trials
    inner join subscriptions
        on trials.account_id = subscriptions.account_id
    group by 1, 2, 3, 5
),

observations as (
    select * from activations
    union all
    select * from retentions
    union all
    select * from trial_conversions
)

select * from observations
where known_from <= cast({{ as_of() }} as date)
