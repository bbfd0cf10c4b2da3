with received as (

    select * from {{ ref('stg_demo__received_events') }}

),

-- Found by the ids alone, also of rows that cannot be read: grouping all columns of every event to find the few
-- repeats took ten times as long.
repeated as (

    select
        user_id,
        event_id
    from {{ source('demo', 'raw_events') }}
    where event_id is not null and user_id is not null
    group by 1, 2
    having count(*) > 1

),

-- Copies of an event agree in all but the time of receipt; min only makes the choice repeatable.
deduplicated as (

    select
        received.event_id,
        received.user_id,
        received.event_name,
        received.kind,
        received.label,
        min(received.account_id) as account_id,
        min(received.properties) as properties,
        min(received.occurred_at) as occurred_at,
        min(received.received_at) as received_at
    from received
    inner join repeated
        on
            received.event_id = repeated.event_id
            and received.user_id = repeated.user_id
    group by 1, 2, 3, 4, 5

)

select * from deduplicated
