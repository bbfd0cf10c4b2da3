-- Drawn again here, from the policy and not from the rules: who is held out of
-- everything or of the campaign is not sent to. Returns sends to such people.
{%- set salt = "holdout:' || sends.campaign_id || '" %}
with sends as (
    select * from {{ ref('int_verdicts') }}
    where verdict = 'send'
),

campaigns as (select * from {{ ref('dim_campaigns') }})

select
    sends.message_id,
    sends.arm
from sends
inner join campaigns
    on sends.campaign_id = campaigns.campaign_id
where
    sends.arm <> 'treatment'
    or {{ hash_bucket(salt, 'sends.user_id') }} < campaigns.holdout_share
    or (
        campaigns.is_marketing
        and {{ hash_bucket('holdout_global', 'sends.user_id') }}
        < {{ var('holdout_global_share', 0.02) }}
    )
