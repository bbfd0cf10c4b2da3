-- Per tick, and with what the last 24 hours have sent: the caps and the
-- arbitration together. A message that an earlier tick planned and that is
-- still to be sent is the same message. Returns people with more.
with sends as (
    select
        sends.user_id,
        sends.message_id
    from {{ ref('int_verdicts') }} as sends
    inner join {{ ref('dim_campaigns') }} as campaigns
        on sends.campaign_id = campaigns.campaign_id
    where sends.verdict = 'send' and campaigns.is_marketing
),

recent_messages as (
    select
        messages.user_id,
        messages.message_id
    from {{ ref('stg_ledger__messages') }} as messages
    inner join {{ ref('dim_campaigns') }} as campaigns
        on messages.campaign_id = campaigns.campaign_id
    where
        campaigns.is_marketing
        and messages.state not in ('cancelled', 'rejected')
        and coalesce(messages.sent_as_of, {{ as_of() }})
        > {{ as_of() }} - to_hours(24)
        and messages.user_id in (select sends.user_id from sends)
),

-- union, not union all: a planned message is sent once
messages as (
    select * from sends
    union
    select * from recent_messages
)

select
    user_id,
    count(*) as n_messages
from messages
group by 1
having count(*) > {{ var('marketing_messages_per_24_hours', 1) }}
