with users as (select * from {{ ref('int_users_enriched') }}),

conditions as (
    select
        user_id,
        activated_at as triggered_at,
        'first_value' as occurrence_key,
        {{ facts(['first_name', 'account_name', 'days_since_signup']) }} as facts,
        activated_at is not null as is_activated,
        -- congratulations lose their occasion within days
        coalesce(activated_at > {{ as_of() }} - interval '3 days', false)
            as is_activated_lately,
        -- a later first value belongs to somebody who knows the product already
        coalesce(days_since_signup <= 30, false) as is_in_first_month
    from users
)

select {{ candidate_columns() }}
from conditions
where is_activated and is_activated_lately and is_in_first_month
