-- Returns campaigns with more sends at this tick than their policy's quota.
select
    verdicts.campaign_id,
    count(*) as n_sends
from {{ ref('int_verdicts') }} as verdicts
inner join {{ ref('dim_campaigns') }} as campaigns
    on verdicts.campaign_id = campaigns.campaign_id
where verdicts.verdict = 'send'
group by verdicts.campaign_id, campaigns.quota_per_run
having count(*) > campaigns.quota_per_run
