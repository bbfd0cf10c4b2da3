with candidates as (select * from {{ ref('int_candidates_unioned') }}),

controls as (select * from {{ ref('stg_ledger__controls') }}),

stops as (
    select
        campaign_id,
        bool_or(name = 'kill') as is_killed
    from controls
    where name in ('kill', 'pause')
    group by 1
),

judged as (
    select
        candidates.message_id,
        case
            when own.is_killed or everyone.is_killed then 'killed'
            when own.is_killed is not null or everyone.is_killed is not null
                then 'paused'
        end as reason
    from candidates
    left join stops as own
        on candidates.campaign_id = own.campaign_id
    left join stops as everyone
        on everyone.campaign_id is null
)

select
    message_id,
    'paused' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
