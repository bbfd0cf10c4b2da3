with deliveries as (
    select * from {{ source('postrider', 'deliveries') }}
    where source_pack = '{{ var("source_pack") }}'
),

decisions as (
    select * from {{ ref('fct_decisions') }}
    where
        source_pack = '{{ var("source_pack") }}'
        and verdict = 'send'
),

-- the decision that planned the message; later ones only confirmed it
planning_decisions as (
    select
        deliveries.message_id,
        arg_max(decisions.decision_id, decisions.as_of) as decision_id
    from deliveries
    inner join decisions
        on
            deliveries.message_id = decisions.message_id
            and deliveries.planned_as_of >= decisions.as_of
    group by 1
),

joined as (
    select
        deliveries.message_id,
        decisions.decision_id,
        deliveries.source_pack,
        deliveries.campaign_id,
        deliveries.user_id,
        deliveries.account_id,
        deliveries.message_type,
        deliveries.channel,
        decisions.variant,
        decisions.arm,
        deliveries.state,
        deliveries.state_reason,
        deliveries.draft_hash,
        deliveries.recipe_id,
        decisions.policy_hash,
        deliveries.run_id,
        cast(deliveries.attempts as integer) as attempts,
        decisions.propensity,
        coalesce(deliveries.state = 'sent', false) as is_sent,
        decisions.triggered_at,
        decisions.as_of as decided_as_of,
        deliveries.planned_as_of,
        deliveries.sent_as_of
    from deliveries
    left join planning_decisions
        on deliveries.message_id = planning_decisions.message_id
    left join decisions
        on planning_decisions.decision_id = decisions.decision_id
)

select * from joined
