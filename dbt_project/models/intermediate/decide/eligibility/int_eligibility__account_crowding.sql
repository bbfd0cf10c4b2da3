{# People take places, not messages: whoever has one may get the best of theirs. #}
{%- set per_day = var('people_per_account_per_day', 3) -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

contenders as (
    select * from {{ ref('int_contenders') }}
    where is_marketing and account_id is not null
),

messages as (select * from {{ ref('stg_ledger__messages') }}),

counts as (select * from {{ ref('int_scoped_cap_counts') }}),

people as (
    -- who was mailed within the day, or may be by what still waits, comes first
    select
        messages.account_id,
        messages.user_id,
        0 as position,
        true as is_counted
    from messages
    left join campaigns
        on messages.campaign_id = campaigns.campaign_id
    where
        messages.state not in ('cancelled', 'rejected')
        and coalesce(campaigns.is_marketing, messages.message_type <> 'legal')
        and coalesce(messages.sent_as_of, {{ as_of() }})
        > {{ as_of() }} - to_hours(24)
    union all
    select
        account_id,
        user_id,
        position,
        is_planned as is_counted
    from contenders
),

queued as (
    select
        account_id,
        user_id,
        min(position) as position,
        bool_or(is_counted) as is_counted
    from people
    group by 1, 2
),

placed as (
    select
        account_id,
        user_id,
        row_number() over (
            partition by account_id order by position, user_id
        ) as place,
        -- messages that this tick would add for the account, up to this person
        count(*) filter (where not is_counted) over (
            partition by account_id order by position, user_id
        ) as n_added
    from queued
),

judged as (
    select
        candidates.message_id,
        case
            when placed.place > {{ per_day }} then 'account_crowded'
            when
                not contenders.is_planned
                and counts.n_messages + placed.n_added > counts.cap_count
                then 'account_capped'
        end as reason
    from candidates
    left join contenders
        on candidates.message_id = contenders.message_id
    left join placed
        on
            contenders.account_id = placed.account_id
            and contenders.user_id = placed.user_id
    left join counts
        on
            candidates.message_id = counts.message_id
            and counts.scope = 'account'
)

select
    message_id,
    'account_crowding' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
