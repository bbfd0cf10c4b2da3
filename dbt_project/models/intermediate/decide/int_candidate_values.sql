{# What a message is expected to bring: the `value` of its campaign's policy, less
   by what the person has had of late, less what its attention costs. #}
{%- set share_left = var('fatigue_share_left', 0.8) -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

messages as (select * from {{ ref('stg_ledger__messages') }}),

scores as (
    select
        user_id,
        max(value) filter (where score = 'engagement') as engagement,
        max(value) filter (where score = 'churn_risk') as churn_risk,
        max(value) filter (where score = 'expansion') as expansion
    from {{ ref('int_user_scores') }}
    group by 1
),

people as (
    select
        users.*,
        candidates.message_id,
        candidates.campaign_id,
        scores.engagement,
        scores.churn_risk,
        scores.expansion
    from candidates
    inner join users on candidates.user_id = users.user_id
    left join scores on users.user_id = scores.user_id
),

stated as (
    {% for campaign in campaign_policies() -%}
        {%- set value = fromjson(campaign.policy).get('value') -%}
        {%- if value -%}
            select
                message_id,
                -- a text is no number, also where it reads like one
                0e0 + ({{ value }}) as value
            from people
            where campaign_id = '{{ campaign.campaign_id }}'
            union all
        {% endif -%}
    {%- endfor -%}
    select
        cast(null as varchar) as message_id,
        cast(null as double) as value
    where false
),

marketing_messages as (
    select
        messages.message_id,
        messages.user_id
    from messages
    left join campaigns
        on messages.campaign_id = campaigns.campaign_id
    where
        messages.state not in ('cancelled', 'rejected')
        and coalesce(campaigns.is_marketing, messages.message_type <> 'legal')
        -- one that waits to be sent may go out now, so it counts as of now
        and coalesce(messages.sent_as_of, {{ as_of() }})
        > {{ as_of() }} - to_days({{ var('fatigue_days', 14) }})
),

fatigue as (
    select
        candidates.message_id,
        count(*) as recent_messages
    from candidates
    inner join marketing_messages
        on
            candidates.user_id = marketing_messages.user_id
            and candidates.message_id <> marketing_messages.message_id
    group by 1
),

measured as (
    select
        candidates.message_id,
        candidates.campaign_id,
        candidates.user_id,
        -- what is no number says nothing about the worth
        case when isfinite(stated.value) then stated.value end as value,
        coalesce(fatigue.recent_messages, 0) as recent_messages,
        power({{ share_left }}, coalesce(fatigue.recent_messages, 0))
            as fatigue_share,
        cast({{ var('attention_cost_dollars', 0.05) }} as double)
            as attention_cost
    from candidates
    left join stated
        on candidates.message_id = stated.message_id
    left join fatigue
        on candidates.message_id = fatigue.message_id
),

candidate_values as (
    select
        *,
        -- Fatigue takes from a gain; a harm is not less for it. Rounded, for
        -- the last bits of a product differ between machines, and decide ties.
        round(least(value, value * fatigue_share) - attention_cost, 6)
            as expected_value
    from measured
)

select * from candidate_values
