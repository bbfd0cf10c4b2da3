with received as (

    select * from {{ ref('stg_demo__received_events') }}

),

repeated as (

    select * from {{ ref('stg_demo__repeated_events') }}

),

received_once as (

    select
        received.event_id,
        received.user_id,
        received.event_name,
        received.kind,
        received.label,
        received.account_id,
        received.properties,
        received.occurred_at,
        received.received_at
    from received
    -- as a left join the few repeats are looked up; as `not exists` it was all events, for twice the time
    left join repeated
        on
            received.event_id = repeated.event_id
            and received.user_id = repeated.user_id
    where repeated.event_id is null

),

events as (

    select * from received_once
    union all by name
    select * from repeated

)

select * from events
