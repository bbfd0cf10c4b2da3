with source as (

    select * from {{ source('ledger', 'raw_ledger_suppressions') }}

)

-- not filtered by time: who must not be mailed now must not be mailed by a replay either
select
    suppression_id,
    user_id,
    address,
    message_type,
    channel,
    reason,
    created_at
from source
