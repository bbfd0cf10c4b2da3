with source as (

    select * from {{ source('demo', 'raw_accounts') }}

),

renamed as (

    select
        account_id,
        owner_user_id,
        parent_account_id,
        {{ known_text('name') }} as name,
        plan,
        industry,
        company_size,
        country,
        seats,
        mrr,
        created_at
    from source
    where account_id is not null and created_at is not null

)

select * from renamed
