with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

suppressions as (select * from {{ ref('stg_ledger__suppressions') }}),

addressed as (
    select
        candidates.message_id,
        candidates.user_id,
        -- canonical, as the ledger stores addresses
        lower(trim(users.email)) as address,
        campaigns.message_type,
        campaigns.channel,
        users.user_id is not null as has_user
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join users
        on candidates.user_id = users.user_id
),

matches as (
    select
        addressed.message_id,
        addressed.message_type,
        addressed.channel,
        suppressions.message_type as suppressed_message_type,
        suppressions.channel as suppressed_channel
    from addressed
    inner join suppressions
        on addressed.user_id = suppressions.user_id
    union all
    select
        addressed.message_id,
        addressed.message_type,
        addressed.channel,
        suppressions.message_type as suppressed_message_type,
        suppressions.channel as suppressed_channel
    from addressed
    inner join suppressions
        on addressed.address = suppressions.address
),

suppressed as (
    select distinct message_id
    from matches
    where
        -- null means all; a message whose own type is unknown matches all
        coalesce(suppressed_message_type = message_type, true)
        and coalesce(suppressed_channel = channel, true)
),

judged as (
    select
        addressed.message_id,
        case
            when suppressed.message_id is not null then 'suppressed'
            -- an address that nobody knows can't be looked up
            when not addressed.has_user then 'unknown_user'
        end as reason
    from addressed
    left join suppressed
        on addressed.message_id = suppressed.message_id
)

select
    message_id,
    'suppression' as rule,
    reason is not null as is_blocked,
    coalesce(reason = 'suppressed', false) as is_permanent,
    reason
from judged
