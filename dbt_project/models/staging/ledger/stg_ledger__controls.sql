with source as (

    select * from {{ source('ledger', 'raw_ledger_controls') }}

)

-- not filtered by time: a kill switch holds for every tick, whatever its as_of
select
    name,
    campaign_id,
    value,
    actor,
    reason,
    set_at
from source
