with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

caps as (select * from {{ ref('int_campaign_caps') }}),

messages as (select * from {{ ref('stg_ledger__messages') }}),

marketing_messages as (
    select
        messages.message_id,
        messages.user_id,
        -- one that waits to be sent may go out now, so it counts as of now
        coalesce(messages.sent_as_of, {{ as_of() }}) as counted_at
    from messages
    left join campaigns
        on messages.campaign_id = campaigns.campaign_id
    where
        messages.state not in ('cancelled', 'rejected')
        -- a campaign that is gone counts by its message type
        and coalesce(campaigns.is_marketing, messages.message_type <> 'legal')
),

recent_messages as (
    select *
    from marketing_messages
    where
        counted_at
        > {{ as_of() }} - to_hours((select max(window_hours) from caps))
),

full_caps as (
    select
        candidates.message_id,
        caps.window_hours,
        caps.cap_count
    from candidates
    inner join caps
        on candidates.campaign_id = caps.campaign_id
    inner join recent_messages
        on
            candidates.user_id = recent_messages.user_id
            and candidates.message_id <> recent_messages.message_id
            and recent_messages.counted_at
            > {{ as_of() }} - to_hours(caps.window_hours)
    group by 1, 2, 3
    having count(*) >= caps.cap_count
),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.is_marketing is null then 'no_policy'
            when candidates.message_id in (
                select full_caps.message_id from full_caps
            ) then 'frequency_capped'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
)

select
    message_id,
    'frequency_cap' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
