-- Every message of the ledger goes back to a decision to send it. Returns
-- messages without one.
select
    message_id,
    campaign_id,
    planned_as_of
from {{ ref('fct_deliveries') }}
where decision_id is null
