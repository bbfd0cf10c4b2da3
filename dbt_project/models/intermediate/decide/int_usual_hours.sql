{# Hours are kept as 24 bits of UTC per day (int_user_days): the start of each is
   put into the person's zone, day by day, so daylight saving moves with it. #}
with users as (select * from {{ ref('int_users_enriched') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

candidates as (select * from {{ ref('int_candidates_unioned') }}),

known_zones as (select * from {{ ref('int_time_zones') }}),

people as (
    select distinct
        users.user_id,
        users.timezone
    from candidates
    inner join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    inner join users
        on candidates.user_id = users.user_id
    inner join known_zones
        on users.timezone = known_zones.timezone
    where campaigns.window_prefers_usual_hour
),

days as (
    select
        people.user_id,
        people.timezone,
        user_days.event_date,
        bit_or(user_days.hour_bits) as hour_bits
    from {{ ref('int_user_days') }} as user_days
    inner join people
        on user_days.user_id = people.user_id
    where
        user_days.kind in ('session', 'feature', 'value', 'setup_step')
        -- said of the day itself, so that other days are not read
        and user_days.event_date between {{ day_ago(var('recent_days') - 1) }}
        and {{ day_ago(0) }}
    group by 1, 2, 3
),

hours as (
    select
        days.user_id,
        days.event_date,
        extract(hour from timezone(
            days.timezone,
            timezone(
                'UTC',
                days.event_date + to_hours(cast(utc_hours.utc_hour as integer))
            )
        )) as local_hour
    from days
    cross join range(24) as utc_hours (utc_hour)
    where (days.hour_bits >> utc_hours.utc_hour) & 1 = 1
),

days_per_hour as (
    select
        user_id,
        local_hour,
        count(distinct event_date) as n_days
    from hours
    group by 1, 2
),

days_per_user as (
    select
        user_id,
        count(*) as n_days
    from days
    group by 1
),

usual_hours as (
    select
        days_per_hour.user_id,
        -- of hours used on as many days the earliest: the rest may still follow
        cast(arg_min(
            days_per_hour.local_hour,
            (-days_per_hour.n_days, days_per_hour.local_hour)
        ) as integer) as usual_hour
    from days_per_hour
    inner join days_per_user
        on days_per_hour.user_id = days_per_user.user_id
    where days_per_user.n_days >= {{ var('usual_hour_min_days', 8) }}
    group by 1
)

select * from usual_hours
