{%- set per_24_hours = var('marketing_messages_per_24_hours', 1) -%}
{%- set per_7_days = var('marketing_messages_per_7_days', 3) -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

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
        counted_at > {{ as_of() }} - to_days(greatest(
            7, (select coalesce(max(cap_window_days), 0) from campaigns)
        ))
),

counts as (
    select
        candidates.message_id,
        count(*) filter (
            where recent_messages.counted_at > {{ as_of() }} - to_hours(24)
        ) as messages_24h,
        count(*) filter (
            where recent_messages.counted_at > {{ as_of() }} - to_days(7)
        ) as messages_7d,
        count(*) filter (
            where recent_messages.counted_at
            > {{ as_of() }} - to_days(campaigns.cap_window_days)
        ) as messages_cap_window
    from candidates
    inner join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    inner join recent_messages
        on
            candidates.user_id = recent_messages.user_id
            and candidates.message_id <> recent_messages.message_id
    group by 1
),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.is_marketing is null then 'no_policy'
            when not campaigns.is_marketing then null
            when
                coalesce(counts.messages_24h, 0) >= {{ per_24_hours }}
                or coalesce(counts.messages_7d, 0) >= {{ per_7_days }}
                or coalesce(counts.messages_cap_window, 0)
                >= campaigns.cap_count
                then 'frequency_capped'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join counts
        on candidates.message_id = counts.message_id
)

select
    message_id,
    'frequency_cap' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
