-- Without a policy every candidate of a campaign is held, which is safe and
-- useless. Returns campaigns with candidates and without a policy.
select
    candidates.campaign_id,
    count(*) as n_candidates
from {{ ref('int_candidates_unioned') }} as candidates
left join {{ ref('dim_campaigns') }} as campaigns
    on candidates.campaign_id = campaigns.campaign_id
where campaigns.campaign_id is null
group by 1
