-- The record holds changes: two rows in a row with the same verdict and reason
-- would be a decision that nobody took. Returns such rows.
with decisions as (
    select
        decision_id,
        message_id,
        as_of,
        verdict,
        reason,
        lag(verdict) over candidate_history as last_verdict,
        lag(reason) over candidate_history as last_reason
    from {{ ref('fct_decisions') }}
    window
        candidate_history as (
            partition by source_pack, message_id order by as_of
        )
)

select *
from decisions
where verdict = last_verdict and reason = last_reason
