with source as (

    select * from {{ source('demo', 'raw_subscriptions') }}

),

keyed as (

    select distinct
        {{ surrogate_key(['account_id', 'plan', 'status', 'mrr', 'trial_ends_at', 'changed_at']) }}
            as subscription_change_id,
        account_id,
        plan,
        status,
        mrr,
        trial_ends_at,
        changed_at
    from source
    where account_id is not null and changed_at is not null

)

select * from keyed
