{%- set z = 1.959964 %} {#- 95 %, two sides #}
with campaigns as (select * from {{ ref('dim_campaigns') }}),

outcomes as (
    select * from {{ ref('fct_outcomes') }}
    -- the global holdout gets no other campaign either: another comparison
    where reason <> 'holdout_global'
),

-- a person counts once per campaign, in the arm of the first exposure
first_exposures as (
    select *
    from outcomes
    qualify
        row_number() over (
            partition by campaign_id, user_id order by exposed_at, message_id
        ) = 1
),

counts as (
    select
        campaign_id,
        arm,
        count(*) filter (where is_mature) as users,
        count(*) filter (where is_mature and is_converted) as conversions,
        count(*) filter (where not is_mature) as waiting_users
    from first_exposures
    group by 1, 2
),

-- Wilson's interval of each rate: sound at 0 of 5 and at 5 of 5
arms as (
    select
        *,
        conversions / nullif(users, 0) as rate,
        {{ z }} * sqrt(
            conversions * (1 - conversions / nullif(users, 0)) + {{ z ** 2 / 4 }}
        ) as spread,
        (conversions + {{ z ** 2 / 2 }} - spread) / (users + {{ z ** 2 }})
            as lower_rate,
        (conversions + {{ z ** 2 / 2 }} + spread) / (users + {{ z ** 2 }})
            as upper_rate
    from counts
),

-- Newcombe's interval of their difference
differences as (
    select
        campaigns.campaign_id,
        campaigns.kpi_event_kind,
        campaigns.kpi_horizon_days,
        cast(coalesce(treatment.users, 0) as integer) as treatment_users,
        cast(coalesce(treatment.conversions, 0) as integer)
            as treatment_conversions,
        round(treatment.rate, 6) as treatment_rate,
        cast(coalesce(holdout.users, 0) as integer) as holdout_users,
        cast(coalesce(holdout.conversions, 0) as integer)
            as holdout_conversions,
        round(holdout.rate, 6) as holdout_rate,
        cast(
            coalesce(treatment.waiting_users, 0)
            + coalesce(holdout.waiting_users, 0) as integer
        ) as waiting_users,
        round(treatment.rate - holdout.rate, 6) as difference,
        round(treatment.rate - holdout.rate - sqrt(
            power(treatment.rate - treatment.lower_rate, 2)
            + power(holdout.upper_rate - holdout.rate, 2)
        ), 6) as difference_lower,
        round(treatment.rate - holdout.rate + sqrt(
            power(treatment.upper_rate - treatment.rate, 2)
            + power(holdout.rate - holdout.lower_rate, 2)
        ), 6) as difference_upper
    from campaigns
    left join arms as treatment
        on
            campaigns.campaign_id = treatment.campaign_id
            and treatment.arm = 'treatment'
    left join arms as holdout
        on
            campaigns.campaign_id = holdout.campaign_id
            and holdout.arm = 'holdout'
),

results as (
    select
        *,
        case
            when
                least(treatment_users, holdout_users)
                < {{ var('experiment_min_users_per_arm', 20) }}
                then 'too early'
            when difference_lower > 0 then 'better than holdout'
            when difference_upper < 0 then 'worse than holdout'
            else 'no difference shown'
        end as verdict
    from differences
)

select * from results
