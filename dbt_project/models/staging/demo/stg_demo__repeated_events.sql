{{ config(materialized='kept', unique_key=['event_id', 'user_id', 'event_name']) }}
-- Two forms in one file: the second one would have to be indented as a whole, its CTEs with it.
-- noqa: disable=LT02
with received as (

    select * from {{ ref('stg_demo__received_events') }}

),

-- Two ids may share a number: what is suspected here is told apart below.
suspects as (

    select id_number
    from {{ ref('stg_demo__received_ids') }}
    {% if moves_on() -%}
    where
        id_number in (
            select arrived.id_number
            from {{ ref('stg_demo__received_ids') }} as arrived
            where arrived.received_at > {{ received_until() }}
        )
    {% endif -%}
    group by 1
    having count(*) > 1

),

-- With their times, so that only files of these times are read.
suspect_receipts as (

    select distinct
        id_number,
        received_at
    from {{ ref('stg_demo__received_ids') }}
    where id_number in (select suspects.id_number from suspects)

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
    inner join suspect_receipts
        on
            {{ fingerprint(['received.user_id', 'received.event_id']) }} = suspect_receipts.id_number
            and received.received_at = suspect_receipts.received_at
    group by 1, 2, 3, 4, 5
    having count(*) > 1

)

select * from deduplicated
