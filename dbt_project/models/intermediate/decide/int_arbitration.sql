{# Marketing competes for the person: one message at a time. What is owed or
   demanded by law competes with nothing but its own campaign's reentry. #}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

messages as (select * from {{ ref('stg_ledger__messages') }}),

eligibility as (select * from {{ ref('int_eligibility_unioned') }}),

rules as (select * from {{ ref('eligibility_rules') }}),

eligible as (
    select message_id
    from eligibility
    group by 1
    -- a rule that did not judge has not said yes
    having
        count(distinct rule) = (select count(*) from rules)
        and not bool_or(coalesce(is_blocked, true))
),

contests as (
    select
        candidates.message_id,
        candidates.triggered_at,
        campaigns.priority,
        -- what an earlier tick has planned keeps its place
        messages.message_id is not null as is_planned,
        case
            when campaigns.is_marketing
                then candidates.user_id
            when campaigns.reentry_hours = 0
                then candidates.message_id
            else candidates.user_id || '|' || candidates.campaign_id
        end as contest_key
    from eligible
    inner join candidates
        on eligible.message_id = candidates.message_id
    inner join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join messages
        on candidates.message_id = messages.message_id
),

ranked as (
    select
        message_id,
        first_value(message_id) over (
            partition by contest_key
            order by
                is_planned desc, priority desc, triggered_at asc, message_id asc
        ) as first_message_id
    from contests
),

arbitrated as (
    select
        message_id,
        message_id <> first_message_id as is_loser,
        case when message_id <> first_message_id then first_message_id end
            as winner_message_id
    from ranked
)

select * from arbitrated
