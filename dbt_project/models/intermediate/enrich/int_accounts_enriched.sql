with accounts as (

    select * from {{ ref('stg_accounts') }}

),

subscriptions as (

    select
        *,
        row_number() over (
            partition by account_id
            order by changed_at desc, subscription_change_id asc
        ) as recency
    from {{ ref('stg_subscriptions') }}

),

payments as (

    select
        account_id,
        max(occurred_at) filter (where kind = 'payment') as paid_at,
        max(occurred_at) filter (where kind = 'payment_failed') as failed_at
    from {{ ref('stg_events') }}
    where kind in ('payment', 'payment_failed')
    group by 1

),

users_per_account as (

    select
        users.account_id,
        count(*) as account_users,
        count(*) filter (
            where activity.active_days_28d > 0
        ) as account_active_users_28d
    from {{ ref('stg_users') }} as users
    left join {{ ref('int_user_activity') }} as activity
        on users.user_id = activity.user_id
    group by 1

),

enriched as (

    select
        accounts.account_id,
        accounts.owner_user_id,
        accounts.name as account_name,
        accounts.country,
        accounts.seats,
        subscriptions.status as subscription_status,
        subscriptions.trial_ends_at,
        subscriptions.changed_at as subscription_changed_at,
        -- the account's own plan is today's; the latest change is what was known then
        coalesce(subscriptions.plan, accounts.plan) as plan,
        coalesce(subscriptions.mrr, accounts.mrr) as mrr,
        coalesce(users_per_account.account_users, 0) as account_users,
        coalesce(users_per_account.account_active_users_28d, 0)
            as account_active_users_28d,
        users_per_account.account_users / cast(nullif(accounts.seats, 0) as double)
            as seats_used_share,
        case
            when payments.paid_at >= payments.failed_at then null
            else payments.failed_at
        end as payment_failed_at
    from accounts
    left join subscriptions
        on
            accounts.account_id = subscriptions.account_id
            and subscriptions.recency = 1
    left join payments on accounts.account_id = payments.account_id
    left join users_per_account
        on accounts.account_id = users_per_account.account_id

)

select * from enriched
