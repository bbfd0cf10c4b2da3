with source as (

    select * from {{ source('demo', 'raw_events') }}

),

vocabulary as (

    select
        event_name,
        kind,
        label
    from {{ ref('product_events') }}
    where source_pack = 'demo'

),

readable as (

    select
        source.event_id,
        source.user_id,
        source.account_id,
        source.event_name,
        vocabulary.kind,
        vocabulary.label,
        source.properties,
        source.received_at,
        -- a device's clock that runs ahead cannot make an event later than its receipt
        least(source.occurred_at, source.received_at) as occurred_at
    from source
    inner join vocabulary on source.event_name = vocabulary.event_name
    where
        source.event_id is not null
        and source.user_id is not null
        and source.occurred_at is not null
        and source.received_at is not null
        -- null is no text that could be broken; said in one expression it is asked once for each text
        and {{ is_json('source.properties') }} is not false

)

select * from readable
