{# The same people stay in while the share grows: the bucket doesn't move. #}
{%- set salt = "rollout:' || candidates.campaign_id || '" -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

chances as (select * from {{ ref('int_campaign_chances') }}),

judged as (
    select
        candidates.message_id,
        case
            when chances.rollout_share is null then 'no_policy'
            when
                {{ hash_bucket(salt, 'candidates.user_id') }}
                >= chances.rollout_share
                then 'not_in_rollout'
        end as reason
    from candidates
    left join chances
        on candidates.campaign_id = chances.campaign_id
)

select
    message_id,
    'rollout' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
