-- Asked of the consents themselves, not of the rule: whatever the rule says, a
-- send on consent has a grant and no later withdrawal, and one on legitimate
-- interest has no withdrawal that stands. Returns sends for which that fails.
with sends as (
    select * from {{ ref('int_verdicts') }}
    where verdict = 'send'
),

campaigns as (select * from {{ ref('dim_campaigns') }}),

last_words as (
    select
        user_id,
        message_type,
        max(case when status = 'granted' then recorded_at end) as granted_at,
        max(case when status <> 'granted' then recorded_at end) as refused_at
    from {{ ref('stg_consents') }}
    where channel = 'email'
    group by 1, 2
)

select
    sends.message_id,
    campaigns.legal_basis,
    last_words.granted_at,
    last_words.refused_at
from sends
left join campaigns
    on sends.campaign_id = campaigns.campaign_id
left join last_words
    on
        sends.user_id = last_words.user_id
        and sends.message_type = last_words.message_type
where
    campaigns.legal_basis is null
    or (
        campaigns.legal_basis = 'consent'
        and last_words.granted_at is null
    )
    or (
        campaigns.legal_basis <> 'transactional'
        and last_words.refused_at
        >= coalesce(last_words.granted_at, last_words.refused_at)
    )
