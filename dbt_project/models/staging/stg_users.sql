with pack as (

    select * from {{ ref('stg_' ~ var('source_pack') ~ '__users') }}

),

known_by_then as (

    select
        user_id,
        account_id,
        email,
        first_name,
        locale,
        timezone,
        role,
        is_internal,
        created_at
    from pack
    where created_at <= {{ as_of() }}

)

select * from known_by_then
