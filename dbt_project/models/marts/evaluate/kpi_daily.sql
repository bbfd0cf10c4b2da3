with users as (
    select * from {{ ref('int_users_enriched') }}
    where not is_internal and not is_bot
),

observations as (select * from {{ ref('fct_kpi_observations') }}),

consents as (select * from {{ ref('stg_consents') }}),

measured as (
    select
        kpi_date,
        kpi,
        cast(count(*) filter (where is_success) as integer) as numerator,
        cast(count(*) as integer) as denominator,
        count(*) filter (where is_success) / count(*) as value
    from observations
    group by 1, 2
    union all
    select
        cast(activated_at as date) as kpi_date,
        'median_time_to_value_days' as kpi,
        -- a median has no numerator
        cast(null as integer) as numerator,
        cast(count(*) as integer) as denominator,
        median(epoch(activated_at - created_at) / 86400) as value
    from users
    where activated_at is not null
    group by 1
    union all
    select
        cast(recorded_at as date) as kpi_date,
        'unsubscribes' as kpi,
        cast(count(*) as integer) as numerator,
        cast(null as integer) as denominator,
        cast(count(*) as double) as value
    from consents
    where status = 'withdrawn'
    group by 1
),

days as (
    select
        unnest(range(
            min(cast(created_at as date)),
            cast({{ as_of() }} as date) + 1,
            to_days(1)
        )) as kpi_date
    from users
),

kpis as (
    select unnest([
        'activation_rate', 'median_time_to_value_days', 'retention_28d',
        'trial_conversion_rate', 'unsubscribes'
    ]) as kpi
),

daily as (
    select
        cast(days.kpi_date as date) as kpi_date,
        kpis.kpi,
        measured.numerator,
        measured.denominator,
        measured.value
    from days
    cross join kpis
    left join measured
        on
            days.kpi_date = measured.kpi_date
            and kpis.kpi = measured.kpi
)

select * from daily
