{{ config(
    materialized='kept',
    unique_key=['user_id', 'event_name', 'event_date'],
    put_together={'events': 'sum', 'hour_bits': 'bit_or', 'first_at': 'min', 'last_at': 'max'}
) }}
-- The one full pass over the events: everything about a user's activity is read from here.
with events as (

    select * from {{ ref('stg_events') }}
    {%- if moves_on() %}
    where received_at > {{ received_until() }}
    {%- endif %}

),

user_days as (

    select
        user_id,
        event_name,
        kind,
        label,
        cast(occurred_at as date) as event_date,
        count(*) as events,
        -- bit h is set when something happened in hour h: hours add up over names by bit_or
        bit_or(
            cast(power(2, extract(hour from occurred_at)) as integer)
        ) as hour_bits,
        min(occurred_at) as first_at,
        max(occurred_at) as last_at
    from events
    group by 1, 2, 3, 4, 5

)

select * from user_days
