{{ config(materialized='kept', replaces_what_is_after='received_at') }}
-- noqa: disable=LT02
with source as (

    select * from {{ source('demo', 'raw_events') }}

),

received_ids as (

    select
        {{ fingerprint(['user_id', 'event_id']) }} as id_number,
        received_at
    from source
    where
        event_id is not null
        and user_id is not null
        {% if moves_on() -%}
        and received_at > {{ received_until() }}
        {%- else -%}
        and received_at is not null
        {%- endif %}

)

select * from received_ids
