with source as (

    select * from {{ source('yammer', 'raw_users') }}

),

-- a company is known only by its users: it exists since the first of them
companies as (

    select
        {{ float_id('company_id') }} as account_id,
        cast(null as varchar) as owner_user_id,
        cast(null as varchar) as parent_account_id,
        cast(null as varchar) as name,
        cast(null as varchar) as plan,
        cast(null as varchar) as industry,
        cast(null as varchar) as company_size,
        cast(null as varchar) as country,
        cast(null as bigint) as seats,
        cast(null as decimal(12, 2)) as mrr,
        min(try_cast(created_at as timestamp)) as created_at
    from source
    where
        {{ float_id('company_id') }} is not null
        and try_cast(created_at as timestamp) is not null
    group by 1

)

select * from companies
