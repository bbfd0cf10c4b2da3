with eligibility as (select * from {{ ref('int_eligibility_unioned') }}),

rules as (select * from {{ ref('eligibility_rules') }}),

blocks as (
    select
        eligibility.message_id,
        coalesce(eligibility.reason, eligibility.rule) as reason,
        -- a rule that the seed doesn't list blocks all the same
        coalesce(rules.precedence, 0) as precedence,
        case
            when not coalesce(eligibility.is_permanent, false) then 'hold'
            else coalesce(nullif(rules.blocked_verdict, ''), 'suppress')
        end as verdict,
        -- what comes after a draw is said of those alone who were drawn
        case
            when rules.is_collective then 'all'
            when rules.precedence > rollout.precedence then 'rollout'
            else 'none'
        end as draws_passed
    from eligibility
    left join rules
        on eligibility.rule = rules.rule
    left join rules as rollout
        on rollout.rule = 'rollout'
    where coalesce(eligibility.is_blocked, true)
),

-- A final no stands before a wait. Held out is only who would otherwise be
-- mailed: both arms of an experiment must be the same kind of people.
ordered as (
    select
        *,
        (
            case verdict when 'suppress' then 0 when 'hold' then 1 else 2 end,
            precedence,
            reason
        ) as position
    from blocks
),

blocked as (
    select
        message_id,
        arg_min(verdict, position) as verdict,
        arg_min(reason, position) as reason,
        cast(to_json(list(reason order by position)) as varchar) as reasons_all,
        bool_or(verdict = 'holdout') as is_held_out,
        arg_min(
            case when verdict = 'hold' then draws_passed else 'none' end,
            position
        ) as draws_passed
    from ordered
    group by 1
)

select * from blocked
