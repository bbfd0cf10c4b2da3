-- int_user_days stands for the events from here on: what it lost, no trigger could see.
-- Returns a row (test failure) when the two disagree about the number of events.
with read_events as (

    select count(*) as events from {{ ref('stg_events') }}

),

counted_events as (

    select coalesce(sum(events), 0) as events from {{ ref('int_user_days') }}

)

select
    read_events.events as read_events,
    counted_events.events as counted_events
from read_events
cross join counted_events
where read_events.events <> counted_events.events
