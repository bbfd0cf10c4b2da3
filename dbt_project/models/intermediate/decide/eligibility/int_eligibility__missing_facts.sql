{# Hopeless, not invalid: the channel has the last word on an address. What can
   never be delivered, or could smuggle a second header in, stops here. #}
{%- set address_form = '^[^@\\s<>,;:"()\\[\\]]+@[^@\\s<>,;:"()\\[\\]]+\\.[^@\\s<>,;:"()\\[\\].]{2,}$' -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

missing as (
    select
        candidates.message_id,
        trim(users.email) as address,
        campaigns.required_facts is null as has_no_policy,
        list_filter(
            cast(cast(campaigns.required_facts as json) as varchar[]),
            -- a blank is as good as nothing: "Hello ,"
            lambda fact: coalesce(trim(
                json_extract_string(candidates.facts, fact)
            ), '') = ''
        ) as missing_facts
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join users
        on candidates.user_id = users.user_id
),

judged as (
    select
        message_id,
        case
            when
                address is null
                or length(address) > 254
                or not regexp_matches(address, '{{ address_form }}')
                then 'missing_address'
            when has_no_policy then 'no_policy'
            when len(missing_facts) > 0
                then 'missing_fact:' || missing_facts[1]
        end as reason
    from missing
)

select
    message_id,
    'missing_facts' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
