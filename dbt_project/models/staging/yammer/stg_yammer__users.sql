with source as (

    select * from {{ source('yammer', 'raw_users') }}

),

stand_ins as (

    select * from {{ ref('stg_yammer__stand_ins') }}

),

renamed as (

    select
        stand_ins.user_id,
        {{ float_id('source.company_id') }} as account_id,
        stand_ins.email,
        cast(null as varchar) as first_name,
        stand_ins.locale,
        stand_ins.timezone,
        cast(null as varchar) as role,
        stand_ins.is_internal,
        try_cast(source.created_at as timestamp) as created_at
    from source
    inner join stand_ins on {{ float_id('source.user_id') }} = stand_ins.user_id
    where try_cast(source.created_at as timestamp) is not null

)

select * from renamed
