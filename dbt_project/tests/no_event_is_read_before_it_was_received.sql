-- A replay at an earlier time must not know what arrived later, nor a tick what lies ahead of it.
-- Returns rows (test failure) for events received after the tick, or before they happened.
select
    event_id,
    occurred_at,
    received_at
from {{ ref('stg_events') }}
where
    received_at > {{ as_of() }}
    or occurred_at > received_at
