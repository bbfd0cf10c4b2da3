with pack as (

    select * from {{ ref('stg_' ~ var('source_pack') ~ '__consents') }}

),

known_by_then as (

    select
        consent_id,
        user_id,
        channel,
        message_type,
        status,
        source,
        text_version,
        recorded_at
    from pack
    where recorded_at <= {{ as_of() }}

)

select * from known_by_then
