{# A legitimate interest carries marketing only where the seed says so. What a
   contract or the law demands is no marketing anywhere. #}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

countries as (select * from {{ ref('legal_basis_by_country') }}),

consents as (select * from {{ ref('int_latest_consents') }}),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.legal_basis is null then 'no_policy'
            when
                not campaigns.is_marketing
                or campaigns.legal_basis = 'consent'
                or countries.least_basis = 'legitimate_interest'
                or consents.status = 'granted'
                then null
            when users.country is null then 'consent_needed_country_unknown'
            else 'consent_needed_in_country'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join users
        on candidates.user_id = users.user_id
    left join countries
        on
            users.country = countries.country
            and campaigns.message_type = countries.message_type
    left join consents
        on
            candidates.user_id = consents.user_id
            and campaigns.channel = consents.channel
            and campaigns.message_type = consents.message_type
)

select
    message_id,
    'legal_basis' as rule,
    reason is not null as is_blocked,
    -- a person may consent, and a closed message never reopens
    false as is_permanent,
    reason
from judged
