-- Asked of the ledger itself, not of the rule. Returns sends to a person or
-- canonical address that is suppressed for the type and channel, or for all.
with sends as (
    select * from {{ ref('int_verdicts') }}
    where verdict = 'send'
),

suppressions as (select * from {{ ref('stg_ledger__suppressions') }})

select
    sends.message_id,
    suppressions.suppression_id
from sends
inner join suppressions
    on
        sends.user_id = suppressions.user_id
        or lower(sends.email) = suppressions.address
where
    (
        suppressions.message_type is null
        or suppressions.message_type = sends.message_type
    )
    and (suppressions.channel is null or suppressions.channel = sends.channel)
