with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

deadlines as (
    select
        candidates.message_id,
        candidates.triggered_at
        + to_hours(campaigns.expires_after_hours) as send_before
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
),

judged as (
    select
        message_id,
        case
            when send_before is null then 'no_policy'
            when {{ as_of() }} > send_before then 'expired'
        end as reason
    from deadlines
)

select
    message_id,
    'expired' as rule,
    reason is not null as is_blocked,
    coalesce(reason = 'expired', false) as is_permanent,
    reason
from judged
