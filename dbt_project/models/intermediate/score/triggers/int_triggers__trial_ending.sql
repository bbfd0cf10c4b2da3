with users as (select * from {{ ref('int_users_enriched') }}),

trials as (
    select
        *,
        cast(trial_ends_at as date) as trial_ends_on
    from users
),

conditions as (
    select
        user_id,
        trial_ends_at - interval '3 days' as triggered_at,
        cast(trial_ends_on as varchar) as occurrence_key,
        {{ facts([
            'first_name', 'account_name', 'trial_ends_on', 'days_until_trial_end',
        ]) }} as facts,
        coalesce(subscription_status = 'trialing', false) as is_trialing,
        coalesce(
            trial_ends_at > {{ as_of() }}
            and trial_ends_at - interval '3 days' <= {{ as_of() }},
            false
        ) as is_ending_within_three_days,
        -- only the owner can choose a plan
        coalesce(is_account_owner, false) as is_owner
    from trials
)

select {{ candidate_columns() }}
from conditions
where is_trialing and is_ending_within_three_days and is_owner
