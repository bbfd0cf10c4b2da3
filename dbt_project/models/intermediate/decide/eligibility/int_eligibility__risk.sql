with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.risk is null or campaigns.review is null
                then 'no_policy'
            when campaigns.risk <> 'low' and campaigns.review <> 'all'
                then 'review_needed'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
)

select
    message_id,
    'risk' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
