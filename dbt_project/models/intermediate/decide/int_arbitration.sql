with contenders as (select * from {{ ref('int_contenders') }}),

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

ranked as (
    select
        contenders.message_id,
        first_value(contenders.message_id) over (
            partition by contenders.contest_key
            order by contenders.position
        ) as first_message_id
    from eligible
    inner join contenders
        on eligible.message_id = contenders.message_id
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
