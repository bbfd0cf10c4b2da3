with candidates as (select * from {{ ref('int_candidates_unioned') }}),

chances as (select * from {{ ref('int_campaign_chances') }}),

judged as (
    select
        candidates.message_id,
        case
            when chances.holdout_global_share is null then 'no_policy'
            when
                {{ hash_bucket('holdout_global', 'candidates.user_id') }}
                < chances.holdout_global_share
                then 'holdout_global'
        end as reason
    from candidates
    left join chances
        on candidates.campaign_id = chances.campaign_id
)

select
    message_id,
    'holdout_global' as rule,
    reason is not null as is_blocked,
    coalesce(reason = 'holdout_global', false) as is_permanent,
    reason
from judged
