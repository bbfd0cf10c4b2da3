with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

latest_consents as (select * from {{ ref('int_latest_consents') }}),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.legal_basis = 'transactional' then null
            when
                campaigns.legal_basis = 'legitimate_interest'
                and coalesce(latest_consents.status, 'granted') = 'granted'
                then null
            when
                campaigns.legal_basis = 'consent'
                and latest_consents.status = 'granted'
                then null
            when latest_consents.status is not null then 'unsubscribed'
            when campaigns.legal_basis = 'consent' then 'no_consent'
            else 'no_policy'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join latest_consents
        on
            candidates.user_id = latest_consents.user_id
            and campaigns.channel = latest_consents.channel
            and campaigns.message_type = latest_consents.message_type
)

select
    message_id,
    'consent' as rule,
    reason is not null as is_blocked,
    -- a person may subscribe again, and a closed message never reopens
    false as is_permanent,
    reason
from judged
