with deliveries as (
    select * from {{ ref('fct_deliveries') }}
    where is_sent
),

holdouts as (
    select * from {{ ref('fct_decisions') }}
    where source_pack = '{{ var("source_pack") }}' and verdict = 'holdout'
),

campaigns as (select * from {{ ref('dim_campaigns') }}),

kpi_events as (
    select
        kind,
        occurred_at,
        -- nobody upgrades alone: the account's event counts for the person
        case when kind in ('upgrade', 'payment') then account_id else user_id end
            as unit_id
    from {{ ref('stg_events') }}
    where kind in (select campaigns.kpi_event_kind from campaigns)
),

-- mailed, or held out at the moment when one would have been mailed
exposures as (
    select
        message_id,
        campaign_id,
        user_id,
        account_id,
        variant,
        propensity,
        'treatment' as arm,
        'eligible' as reason,
        sent_as_of as exposed_at
    from deliveries
    union all
    select
        message_id,
        campaign_id,
        user_id,
        account_id,
        cast(null as varchar) as variant,
        propensity,
        'holdout' as arm,
        reason,
        as_of as exposed_at
    from holdouts
    where message_id not in (select deliveries.message_id from deliveries)
    qualify row_number() over (partition by message_id order by as_of) = 1
),

horizons as (
    select
        exposures.*,
        campaigns.kpi_event_kind,
        campaigns.kpi_horizon_days,
        case
            when campaigns.kpi_event_kind in ('upgrade', 'payment')
                then exposures.account_id
            else exposures.user_id
        end as unit_id,
        exposures.exposed_at + to_days(campaigns.kpi_horizon_days)
            as horizon_ends_at
    from exposures
    left join campaigns on exposures.campaign_id = campaigns.campaign_id
),

conversions as (
    select
        horizons.message_id,
        min(kpi_events.occurred_at) as converted_at
    from horizons
    inner join kpi_events
        on
            horizons.unit_id = kpi_events.unit_id
            and horizons.kpi_event_kind = kpi_events.kind
            and horizons.exposed_at < kpi_events.occurred_at
            and horizons.horizon_ends_at >= kpi_events.occurred_at
    group by 1
),

outcomes as (
    select
        horizons.message_id,
        horizons.campaign_id,
        horizons.user_id,
        horizons.account_id,
        horizons.arm,
        horizons.reason,
        horizons.variant,
        horizons.kpi_event_kind,
        horizons.kpi_horizon_days,
        horizons.propensity,
        horizons.exposed_at,
        horizons.horizon_ends_at,
        conversions.converted_at,
        conversions.converted_at is not null as is_converted,
        coalesce(horizons.horizon_ends_at <= {{ as_of() }}, false) as is_mature
    from horizons
    left join conversions on horizons.message_id = conversions.message_id
)

select * from outcomes
