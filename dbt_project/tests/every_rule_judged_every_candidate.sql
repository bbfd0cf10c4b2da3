-- The candidates times the rules of the seed are the judgements that must be
-- there. Returns those that are missing, and those that nobody asked for.
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

rules as (select * from {{ ref('eligibility_rules') }}),

judgements as (select * from {{ ref('int_eligibility_unioned') }}),

expected as (
    select
        candidates.message_id,
        rules.rule
    from candidates
    cross join rules
)

select
    coalesce(expected.message_id, judgements.message_id) as message_id,
    coalesce(expected.rule, judgements.rule) as rule,
    expected.rule is null as is_uncalled_for
from expected
full outer join judgements
    on
        expected.message_id = judgements.message_id
        and expected.rule = judgements.rule
where expected.rule is null or judgements.rule is null
