-- Of what was sent at this tick, whatever had been decided: as of the send a
-- message on consent has a grant and no later withdrawal, and one on legitimate
-- interest no withdrawal that stands. Returns deliveries for which that fails.
with deliveries as (
    select * from {{ ref('fct_deliveries') }}
    where is_sent and sent_as_of = {{ as_of() }}
),

campaigns as (select * from {{ ref('dim_campaigns') }}),

consents as (select * from {{ ref('stg_consents') }}),

last_words as (
    select
        deliveries.message_id,
        max(case when consents.status = 'granted' then consents.recorded_at end)
            as granted_at,
        max(case when consents.status <> 'granted' then consents.recorded_at end)
            as refused_at
    from deliveries
    left join consents
        on
            deliveries.user_id = consents.user_id
            and deliveries.message_type = consents.message_type
            and deliveries.sent_as_of >= consents.recorded_at
            and consents.channel = 'email'
    group by 1
)

select
    deliveries.message_id,
    campaigns.legal_basis,
    last_words.granted_at,
    last_words.refused_at
from deliveries
inner join last_words
    on deliveries.message_id = last_words.message_id
left join campaigns
    on deliveries.campaign_id = campaigns.campaign_id
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
