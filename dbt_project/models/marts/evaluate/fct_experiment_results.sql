{#- 95 %, two sides -#}
{%- set z = 1.959964 -%}
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
        campaigns.campaign_id,
        campaigns.kpi_event_kind,
        campaigns.kpi_horizon_days,
        {% for arm in ['treatment', 'holdout'] -%}
            cast(count(*) filter (
                where arm = '{{ arm }}' and is_mature
            ) as integer) as {{ arm }}_users,
            cast(count(*) filter (
                where arm = '{{ arm }}' and is_mature and is_converted
            ) as integer) as {{ arm }}_conversions,
        {% endfor -%}
        cast(count(*) filter (where not is_mature) as integer)
            as waiting_users
    from campaigns
    left join first_exposures
        on campaigns.campaign_id = first_exposures.campaign_id
    group by 1, 2, 3
),

rates as (
    select
        *,
        {% for arm in ['treatment', 'holdout'] -%}
            {%- set users = 'nullif(' ~ arm ~ '_users, 0)' -%}
            {%- set rate = arm ~ '_conversions / ' ~ users -%}
            {%- set centre = arm ~ '_conversions + ' ~ z ** 2 / 2 -%}
            {%- set spread = z ~ ' * sqrt(' ~ arm ~ '_conversions * (1 - '
                ~ rate ~ ') + ' ~ z ** 2 / 4 ~ ')' -%}
            {%- set width = '(' ~ users ~ ' + ' ~ z ** 2 ~ ')' -%}
            {{ rate }} as {{ arm }}_rate,
            -- Wilson's interval: sound at 0 of 5 and at 5 of 5
            ({{ centre }} - {{ spread }}) / {{ width }} as {{ arm }}_lower,
            ({{ centre }} + {{ spread }}) / {{ width }} as {{ arm }}_upper
            {{- ',' if not loop.last }}
        {% endfor %}
    from counts
),

-- Newcombe's interval of the difference, from the two above
differences as (
    select
        *,
        treatment_rate - holdout_rate as difference,
        treatment_rate - holdout_rate - sqrt(
            power(treatment_rate - treatment_lower, 2)
            + power(holdout_upper - holdout_rate, 2)
        ) as difference_lower,
        treatment_rate - holdout_rate + sqrt(
            power(treatment_upper - treatment_rate, 2)
            + power(holdout_rate - holdout_lower, 2)
        ) as difference_upper
    from rates
),

results as (
    select
        campaign_id,
        kpi_event_kind,
        kpi_horizon_days,
        treatment_users,
        treatment_conversions,
        round(treatment_rate, 6) as treatment_rate,
        holdout_users,
        holdout_conversions,
        round(holdout_rate, 6) as holdout_rate,
        waiting_users,
        round(difference, 6) as difference,
        round(difference_lower, 6) as difference_lower,
        round(difference_upper, 6) as difference_upper,
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
