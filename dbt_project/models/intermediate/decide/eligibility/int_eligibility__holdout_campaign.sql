{# The campaign is part of the salt: each campaign holds out other people. #}
{%- set salt = "holdout:' || candidates.campaign_id || '" -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

chances as (select * from {{ ref('int_campaign_chances') }}),

judged as (
    select
        candidates.message_id,
        case
            when chances.holdout_share is null then 'no_policy'
            when
                {{ hash_bucket(salt, 'candidates.user_id') }}
                < chances.holdout_share
                then 'holdout_campaign'
        end as reason
    from candidates
    left join chances
        on candidates.campaign_id = chances.campaign_id
)

select
    message_id,
    'holdout_campaign' as rule,
    reason is not null as is_blocked,
    coalesce(reason = 'holdout_campaign', false) as is_permanent,
    reason
from judged
