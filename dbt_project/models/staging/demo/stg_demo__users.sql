with source as (

    select * from {{ source('demo', 'raw_users') }}

),

renamed as (

    select
        user_id,
        account_id,
        {{ known_text('first_name') }} as first_name,
        replace(locale, '_', '-') as locale,
        timezone,
        role,
        -- an address that cannot be one is no address: the rule missing_facts holds its user
        case
            when {{ is_address('trim(email)') }} then lower(trim(email))
        end as email,
        coalesce(is_internal, false) as is_internal,
        created_at
    from source
    where user_id is not null and created_at is not null

)

select * from renamed
