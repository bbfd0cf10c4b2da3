with source as (

    select * from {{ source('demo', 'raw_consents') }}

),

keyed as (

    select distinct
        {{ surrogate_key([
            'user_id', 'channel', 'message_type', 'status', 'source', 'text_version', 'recorded_at'
        ]) }} as consent_id,
        user_id,
        channel,
        message_type,
        status,
        source,
        text_version,
        recorded_at
    from source
    where
        user_id is not null
        and message_type is not null
        and status is not null
        and recorded_at is not null

)

select * from keyed
