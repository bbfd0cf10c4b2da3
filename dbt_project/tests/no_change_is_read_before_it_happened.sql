-- The same for the relations that carry their own time of change.
-- Returns rows (test failure) for changes after the tick.
select
    'subscription' as relation,
    subscription_change_id as row_id,
    changed_at as known_at
from {{ ref('stg_subscriptions') }}
where changed_at > {{ as_of() }}

union all

select
    'consent' as relation,
    consent_id as row_id,
    recorded_at as known_at
from {{ ref('stg_consents') }}
where recorded_at > {{ as_of() }}

union all

select
    'ticket' as relation,
    ticket_id as row_id,
    coalesce(closed_at, opened_at) as known_at
from {{ ref('stg_tickets') }}
where coalesce(closed_at, opened_at) > {{ as_of() }}
