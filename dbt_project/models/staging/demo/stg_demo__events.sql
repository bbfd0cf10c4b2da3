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
        and (source.properties is null or {{ is_json('source.properties') }})

),

-- Copies of an event agree in all but the time of receipt; min only makes the choice repeatable.
-- Grouped by kind as well, so that a model that wants one kind of event has only that deduplicated.
deduplicated as (

    select
        event_id,
        user_id,
        event_name,
        kind,
        label,
        min(account_id) as account_id,
        min(properties) as properties,
        min(occurred_at) as occurred_at,
        min(received_at) as received_at
    from readable
    group by 1, 2, 3, 4, 5

)

select * from deduplicated
