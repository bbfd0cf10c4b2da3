-- What was sent at this tick, whatever had been decided, by what the person
-- had said last.
with deliveries as (
    select * from {{ ref('fct_deliveries') }}
    where is_sent and sent_as_of = {{ as_of() }}
),

{{ without_consent('deliveries') }}
