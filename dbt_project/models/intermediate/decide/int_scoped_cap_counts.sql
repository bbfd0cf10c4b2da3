with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

caps as (select * from {{ ref('int_campaign_scoped_caps') }}),

users as (select * from {{ ref('int_users_enriched') }}),

messages as (select * from {{ ref('stg_ledger__messages') }}),

marketing_messages as (
    select
        messages.message_id,
        messages.user_id,
        messages.account_id,
        messages.message_type,
        messages.channel,
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

-- one key for whatever shares a cap: an equality that the engine can join by
keyed_messages as (
    select
        *,
        'account' as scope,
        account_id as shared_key
    from marketing_messages
    union all
    select
        *,
        'message_type' as scope,
        user_id || '|' || message_type as shared_key
    from marketing_messages
    union all
    select
        *,
        'channel' as scope,
        user_id || '|' || channel as shared_key
    from marketing_messages
),

capped_candidates as (
    select
        candidates.message_id,
        caps.scope,
        caps.cap_count,
        caps.window_days,
        case caps.scope
            when 'account' then users.account_id
            when 'message_type'
                then candidates.user_id || '|' || campaigns.message_type
            when 'channel'
                then candidates.user_id || '|' || campaigns.channel
        end as shared_key
    from candidates
    inner join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    inner join caps
        on candidates.campaign_id = caps.campaign_id
    left join users
        on candidates.user_id = users.user_id
),

counts as (
    select
        capped_candidates.message_id,
        capped_candidates.scope,
        capped_candidates.cap_count,
        count(keyed_messages.message_id) as n_messages
    from capped_candidates
    left join keyed_messages
        on
            capped_candidates.scope = keyed_messages.scope
            and capped_candidates.shared_key = keyed_messages.shared_key
            and capped_candidates.message_id <> keyed_messages.message_id
            and keyed_messages.counted_at
            > {{ as_of() }} - to_days(capped_candidates.window_days)
    group by 1, 2, 3
)

select * from counts
