-- A candidate without a verdict would be lost without a reason; one with two
-- could be sent and held. Also in the record: exactly one decision stands, and
-- it is the verdict of this tick (a held-out candidate keeps its decision
-- until it is sent). Returns candidates for which that is not so.
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

verdicts as (select * from {{ ref('int_verdicts') }}),

standing_decisions as (
    select * from {{ ref('fct_decisions') }}
    where source_pack = '{{ var("source_pack") }}' and as_of <= {{ as_of() }}
    qualify rank() over (partition by message_id order by as_of desc) = 1
),

verdict_counts as (
    select
        coalesce(candidates.message_id, verdicts.message_id) as message_id,
        count(candidates.message_id) as n_candidates,
        count(verdicts.message_id) as n_verdicts
    from candidates
    full outer join verdicts
        on candidates.message_id = verdicts.message_id
    group by 1
),

decision_counts as (
    select
        verdicts.message_id,
        count(standing_decisions.message_id) as n_decisions,
        bool_and(
            (standing_decisions.verdict, standing_decisions.reason)
            = (verdicts.verdict, verdicts.reason)
            or (standing_decisions.verdict = 'holdout' and verdicts.verdict <> 'send')
        ) as is_current
    from verdicts
    left join standing_decisions
        on verdicts.message_id = standing_decisions.message_id
    group by 1
)

select
    verdict_counts.*,
    decision_counts.n_decisions,
    decision_counts.is_current
from verdict_counts
left join decision_counts
    on verdict_counts.message_id = decision_counts.message_id
where
    verdict_counts.n_candidates <> 1
    or verdict_counts.n_verdicts <> 1
    or decision_counts.n_decisions <> 1
    or not coalesce(decision_counts.is_current, false)
