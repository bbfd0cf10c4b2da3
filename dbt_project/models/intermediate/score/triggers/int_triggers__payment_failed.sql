with users as (select * from {{ ref('int_users_enriched') }}),

payments as (
    select
        *,
        cast(payment_failed_at as date) as payment_failed_on
    from users
),

conditions as (
    select
        user_id,
        payment_failed_at as triggered_at,
        cast(payment_failed_on as varchar) as occurrence_key,
        {{ facts(['first_name', 'account_name', 'plan', 'payment_failed_on']) }} as facts,
        payment_failed_at is not null as has_failed_payment,
        -- an older failure has had its notice, or the account has been closed over it
        coalesce(payment_failed_at > {{ as_of() }} - interval '7 days', false)
            as is_failed_lately,
        -- only the owner can change the card
        coalesce(is_account_owner, false) as is_owner,
        coalesce(subscription_status, 'none') <> 'cancelled' as is_not_cancelled
    from payments
)

select {{ candidate_columns() }}
from conditions
where has_failed_payment and is_failed_lately and is_owner and is_not_cancelled
