with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

messages as (select * from {{ ref('stg_ledger__messages') }}),

other_occurrences as (
    select
        candidates.message_id,
        -- one that waits to be sent may go out now
        max(coalesce(messages.sent_as_of, {{ as_of() }})) as latest_at,
        -- one in doubt or in review must not keep back for good what is owed
        max(coalesce(messages.sent_as_of, messages.planned_as_of))
            as latest_sent_or_planned_at
    from candidates
    inner join messages
        on
            candidates.user_id = messages.user_id
            and candidates.campaign_id = messages.campaign_id
            and candidates.message_id <> messages.message_id
    where messages.state not in ('cancelled', 'rejected')
    group by 1
),

judged as (
    select
        candidates.message_id,
        case
            when
                -- one that a worker holds has not left, and may be given back
                messages.state in ('sent', 'sending', 'unknown')
                then 'already_sent'
            when messages.state = 'rejected' then 'closed:rejected'
            when messages.state = 'cancelled'
                then
                    'closed:' || coalesce(
                        nullif(regexp_extract(
                            messages.state_reason, '^[a-z0-9_:]+'
                        ), ''),
                        'cancelled'
                    )
            when
                other_occurrences.latest_sent_or_planned_at
                > {{ as_of() }} - to_hours(campaigns.reentry_hours)
                then 'reentry_wait'
            when
                campaigns.reentry_policy in ('each_occurrence', 'after_hours')
                then null
            when
                campaigns.reentry_policy = 'never'
                and other_occurrences.latest_at is not null
                then 'already_sent_campaign'
            when campaigns.reentry_policy = 'never' then null
            when campaigns.reentry_days is null then 'no_policy'
            when
                other_occurrences.latest_at
                > {{ as_of() }} - to_days(campaigns.reentry_days)
                then 'reentry_wait'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join messages
        on candidates.message_id = messages.message_id
    left join other_occurrences
        on candidates.message_id = other_occurrences.message_id
)

select
    message_id,
    'reentry' as rule,
    reason is not null as is_blocked,
    coalesce(reason not in ('reentry_wait', 'no_policy'), false)
        as is_permanent,
    reason
from judged
