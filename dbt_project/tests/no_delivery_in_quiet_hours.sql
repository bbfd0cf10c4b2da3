-- What was sent at this tick, whatever had been decided, by the clock on the
-- recipient's wall.
with deliveries as (
    select * from {{ ref('fct_deliveries') }}
    where is_sent and sent_as_of = {{ as_of() }}
),

{{ outside_the_window('deliveries') }}
