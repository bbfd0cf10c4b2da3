with pack as (

    select * from {{ ref('stg_' ~ var('source_pack') ~ '__events') }}

),

known_by_then as (

    select
        event_id,
        user_id,
        account_id,
        event_name,
        kind,
        label,
        properties,
        occurred_at,
        received_at
    from pack
    where received_at <= {{ as_of() }}

)

select * from known_by_then
