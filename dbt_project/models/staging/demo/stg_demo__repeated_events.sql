{{ config(materialized='kept', unique_key=['event_id', 'user_id', 'event_name', 'kind', 'label']) }}
-- Two forms in one file: the second one would have to be indented as a whole, its CTEs with it.
-- noqa: disable=LT02
with source as (

    select * from {{ source('demo', 'raw_events') }}

),

received as (

    select * from {{ ref('stg_demo__received_events') }}

),
{% if moves_on() %}
arrived as (

    select distinct
        user_id,
        event_id
    from source
    where received_at > {{ received_until() }}

),
{% endif %}
-- Found by the ids alone, also of rows that cannot be read: grouping all columns of every event to find the
-- few repeats took ten times as long.
repeated as (

    select
        source.user_id,
        source.event_id
    from source
    {% if moves_on() -%}
    inner join arrived
        on
            source.event_id = arrived.event_id
            and source.user_id = arrived.user_id
    {% endif -%}
    where source.event_id is not null and source.user_id is not null
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
        {% if moves_on() -%}
        -- A copy that changes what was known of its event has been counted already, as it was known: all is made anew.
        case
            when
                min(received.received_at) <= {{ received_until() }}
                and (
                    min(received.account_id) is distinct from min(received.account_id)
                        filter (where received.received_at <= {{ received_until() }})
                    or min(received.occurred_at) is distinct from min(received.occurred_at)
                        filter (where received.received_at <= {{ received_until() }})
                )
                then error('a copy of event ' || received.event_id || ' changes what was known of it')
            else min(received.received_at)
        end as received_at
        {%- else -%}
        min(received.received_at) as received_at
        {%- endif %}
    from received
    inner join repeated
        on
            received.event_id = repeated.event_id
            and received.user_id = repeated.user_id
    group by 1, 2, 3, 4, 5

)

select * from deduplicated
