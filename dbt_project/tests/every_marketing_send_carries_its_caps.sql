-- By these the ledger judges once more at the send; without them nothing would.
-- Returns marketing without caps, and what is owed or demanded by law with them.
select
    sends.message_id,
    sends.caps
from {{ ref('int_verdicts') }} as sends
inner join {{ ref('dim_campaigns') }} as campaigns
    on sends.campaign_id = campaigns.campaign_id
where
    sends.verdict = 'send'
    and campaigns.is_marketing <> (sends.caps is not null)
