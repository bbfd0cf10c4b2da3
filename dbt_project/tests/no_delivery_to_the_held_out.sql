-- Of what was sent at this tick, whatever had been decided: drawn again here,
-- nobody is held out of everything or of the campaign. Returns deliveries to
-- people who are.
{%- set salt = "holdout:' || deliveries.campaign_id || '" %}
with deliveries as (
    select * from {{ ref('fct_deliveries') }}
    where is_sent and sent_as_of = {{ as_of() }}
),

campaigns as (select * from {{ ref('dim_campaigns') }})

select
    deliveries.message_id,
    deliveries.user_id
from deliveries
inner join campaigns
    on deliveries.campaign_id = campaigns.campaign_id
where
    {{ hash_bucket(salt, 'deliveries.user_id') }} < campaigns.holdout_share
    or (
        campaigns.is_marketing
        and {{ hash_bucket('holdout_global', 'deliveries.user_id') }}
        < {{ var('holdout_global_share', 0.02) }}
    )
