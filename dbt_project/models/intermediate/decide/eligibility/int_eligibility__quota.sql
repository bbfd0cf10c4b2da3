{# Whoever is first in their contest comes first in the queue: the others only
   take what is left, in case they still win. #}
{%- set per_run = var('messages_per_run', none) -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

contenders as (select * from {{ ref('int_contenders') }}),

crowding as (select * from {{ ref('int_eligibility__account_crowding') }}),

standing as (
    select
        contenders.*,
        contenders.position > min(contenders.position) over (
            partition by contenders.contest_key
        ) as is_second
    from contenders
    inner join crowding
        on contenders.message_id = crowding.message_id
    where not crowding.is_blocked
),

in_campaign as (
    select
        standing.*,
        campaigns.legal_basis = 'transactional' as is_owed,
        coalesce(
            row_number() over (
                partition by standing.campaign_id
                order by standing.is_second, standing.position
            ) > campaigns.quota_per_run,
            false
        ) as is_over_quota
    from standing
    inner join campaigns
        on standing.campaign_id = campaigns.campaign_id
),

in_run as (
    select
        *,
        sum(case when is_over_quota then 0 else 1 end) over (
            order by is_owed desc, is_second asc, position asc
        ) as place
    from in_campaign
),

judged as (
    select
        candidates.message_id,
        case
            when in_run.is_over_quota then 'over_quota'
            when in_run.is_owed then null
            when in_run.place > {{ 'null' if per_run is none else per_run }}
                then 'over_run_quota'
        end as reason
    from candidates
    left join in_run
        on candidates.message_id = in_run.message_id
)

select
    message_id,
    'quota' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
