with users as (select * from {{ ref('int_users_enriched') }}),

conditions as (
    select
        user_id,
        created_at as triggered_at,
        'signup' as occurrence_key,
        {{ facts(['first_name', 'account_name', 'next_setup_step']) }} as facts,
        -- a welcome that waits over a weekend is still one
        coalesce(days_since_signup between 0 and 2, false) as is_just_signed_up,
        activated_at is null as is_not_activated,
        coalesce(subscription_status, 'none') <> 'cancelled' as is_not_cancelled
    from users
)

select {{ candidate_columns() }}
from conditions
where is_just_signed_up and is_not_activated and is_not_cancelled
