with campaigns as (select * from {{ ref('dim_campaigns') }}),

controls as (select * from {{ ref('stg_ledger__controls') }}),

rollout_controls as (
    select
        campaign_id,
        -- a value that is no number rolls out to nobody
        min(coalesce(try_cast(value as double), 0)) as rollout_percent
    from controls
    where name = 'rollout'
    group by 1
),

effective_rollouts as (
    select
        campaigns.campaign_id,
        -- an operator's word replaces the policy's; one for all is a ceiling
        least(
            coalesce(own.rollout_percent, campaigns.rollout_percent),
            coalesce(everyone.rollout_percent, 100)
        ) / 100.0 as rollout_share
    from campaigns
    left join rollout_controls as own
        on campaigns.campaign_id = own.campaign_id
    left join rollout_controls as everyone
        on everyone.campaign_id is null
),

chances as (
    select
        campaigns.campaign_id,
        case
            when campaigns.is_marketing
                then cast({{ var('holdout_global_share', 0.02) }} as double)
            else 0
        end as holdout_global_share,
        campaigns.holdout_share,
        least(greatest(effective_rollouts.rollout_share, 0), 1)
            as rollout_share
    from campaigns
    inner join effective_rollouts
        on campaigns.campaign_id = effective_rollouts.campaign_id
)

select * from chances
