with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

counts as (select * from {{ ref('int_scoped_cap_counts') }}),

full_caps as (
    select
        message_id,
        -- the wider the scope, the more a person would have to undo
        min_by(
            scope || '_capped',
            case scope when 'account' then 1 when 'channel' then 2 else 3 end
        ) as reason
    from counts
    where n_messages >= cap_count
    group by 1
),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.campaign_id is null then 'no_policy'
            else full_caps.reason
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join full_caps
        on candidates.message_id = full_caps.message_id
)

select
    message_id,
    'scoped_cap' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
