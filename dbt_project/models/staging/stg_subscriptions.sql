with pack as (

    select * from {{ ref('stg_' ~ var('source_pack') ~ '__subscriptions') }}

),

known_by_then as (

    select
        subscription_change_id,
        account_id,
        plan,
        status,
        mrr,
        trial_ends_at,
        changed_at
    from pack
    where changed_at <= {{ as_of() }}

)

select * from known_by_then
