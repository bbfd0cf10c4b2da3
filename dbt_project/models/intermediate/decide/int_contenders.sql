{# The one order in which people and messages take what is scarce: the place in
   an account, in a quota, in a person's day. What nobody put a value on counts
   as worth nothing: behind a gain, before what is not worth the attention. #}
{%- set arbitration = arbitration() -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

messages as (select * from {{ ref('stg_ledger__messages') }}),

judgements as (select * from {{ ref('int_judgements') }}),

candidate_values as (select * from {{ ref('int_candidate_values') }}),

rules as (
    select * from {{ ref('eligibility_rules') }}
    where not is_collective
),

unblocked as (
    select message_id
    from judgements
    group by 1
    -- a rule that did not judge has not said yes
    having
        count(distinct rule) = (select count(*) from rules)
        and not bool_or(coalesce(is_blocked, true))
),

contenders as (
    select
        candidates.message_id,
        candidates.campaign_id,
        candidates.user_id,
        users.account_id,
        candidates.triggered_at,
        campaigns.priority,
        campaigns.is_marketing,
        -- what an earlier tick has planned keeps its place
        messages.message_id is not null as is_planned,
        candidate_values.value,
        candidate_values.recent_messages,
        candidate_values.expected_value,
        -- Marketing competes for the person. What is owed or demanded by law
        -- competes with nothing but its own campaign's reentry.
        case
            when campaigns.is_marketing
                then candidates.user_id
            when campaigns.reentry_hours = 0
                then candidates.message_id
            else candidates.user_id || '|' || candidates.campaign_id
        end as contest_key
    from unblocked
    inner join candidates
        on unblocked.message_id = candidates.message_id
    inner join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join users
        on candidates.user_id = users.user_id
    left join messages
        on candidates.message_id = messages.message_id
    left join candidate_values
        on candidates.message_id = candidate_values.message_id
),

ordered as (
    select
        message_id,
        campaign_id,
        user_id,
        account_id,
        contest_key,
        is_marketing,
        is_planned,
        value,
        recent_messages,
        expected_value,
        priority,
        triggered_at,
        row_number() over (
            order by
                is_planned desc,
                is_marketing asc,
                {% if arbitration == 'value' -%}
                    coalesce(expected_value, 0) desc,
                {% endif -%}
                {% if arbitration != 'first_come' -%}
                    priority desc,
                {% endif -%}
                triggered_at asc,
                message_id asc
        ) as position
    from contenders
)

select * from ordered
