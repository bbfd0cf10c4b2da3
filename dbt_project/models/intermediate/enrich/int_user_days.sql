{{ config(materialized='kept', unique_key=['user_id', 'event_name', 'kind', 'label', 'event_date']) }}
-- Two forms in one file: the second one would have to be indented as a whole, its CTEs with it.
-- noqa: disable=LT02
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
        min(account_id) as account_id,
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
{%- if moves_on() %},

-- A day that something arrived for is put together with what is known of it. Nulls do not count.
touched_days as (

    select
        arrived.user_id,
        arrived.event_name,
        arrived.kind,
        arrived.label,
        arrived.event_date,
        least(arrived.account_id, known.account_id) as account_id,
        arrived.events + coalesce(known.events, 0) as events,
        arrived.hour_bits | coalesce(known.hour_bits, 0) as hour_bits,
        least(arrived.first_at, known.first_at) as first_at,
        greatest(arrived.last_at, known.last_at) as last_at
    from user_days as arrived
    left join {{ this }} as known
        on
            arrived.user_id = known.user_id
            and arrived.event_name = known.event_name
            and arrived.kind is not distinct from known.kind
            and arrived.label is not distinct from known.label
            and arrived.event_date = known.event_date

)

select * from touched_days
{%- else %}

select * from user_days
{%- endif %}
