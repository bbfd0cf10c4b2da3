with pack as (

    select * from {{ ref('stg_' ~ var('source_pack') ~ '__accounts') }}

),

known_by_then as (

    select
        account_id,
        owner_user_id,
        parent_account_id,
        name,
        plan,
        industry,
        company_size,
        country,
        seats,
        mrr,
        created_at
    from pack
    where created_at <= {{ as_of() }}

)

select * from known_by_then
