{# Every zone in use is walked in steps of 15 minutes of UTC: all offsets are
   multiples of it, so gaps and overlaps of daylight saving need no rule. #}
with candidate_windows as (select * from {{ ref('int_candidate_windows') }}),

holidays as (select * from {{ ref('holidays') }}),

windows as (
    select distinct
        window_id,
        timezone,
        holiday_country,
        from_hour,
        to_hour,
        weekdays
    from candidate_windows
),

zones as materialized (select distinct timezone from windows),

instants as (
    select {{ as_of() }} as instant
    union
    select
        date_trunc('hour', {{ as_of() }})
        + to_minutes(15 * cast(steps.step as integer)) as instant
    -- a window on one weekday that is a holiday opens on the fifteenth day
    from range(1, 15 * 24 * 4 + 1) as steps (step)
    where
        date_trunc('hour', {{ as_of() }})
        + to_minutes(15 * cast(steps.step as integer)) > {{ as_of() }}
),

local_times as (
    select
        zones.timezone,
        instants.instant,
        timezone(zones.timezone, timezone('UTC', instants.instant))
            as local_time
    from zones
    cross join instants
),

local_hours as (
    select
        timezone,
        instant,
        cast(local_time as date) as local_date,
        extract(hour from local_time) as local_hour,
        extract(isodow from local_time) as local_weekday
    from local_times
),

openings as (
    select
        windows.window_id,
        min(local_hours.instant) as opens_at,
        arg_min(local_hours.local_date, local_hours.instant) as opens_on
    from local_hours
    inner join windows
        on
            local_hours.timezone = windows.timezone
            and local_hours.local_hour >= windows.from_hour
            and local_hours.local_hour < windows.to_hour
            and list_contains(
                cast(cast(windows.weekdays as json) as integer[]),
                local_hours.local_weekday
            )
    left join holidays
        on
            windows.holiday_country = holidays.country
            and local_hours.local_date = holidays.holiday_date
    where holidays.holiday_date is null
    group by 1
),

send_windows as (
    select
        windows.window_id,
        windows.timezone,
        windows.holiday_country,
        windows.from_hour,
        windows.to_hour,
        windows.weekdays,
        coalesce(openings.opens_at = {{ as_of() }}, false) as is_open,
        openings.opens_at,
        holidays.holiday_date is not null as is_holiday,
        -- the hour on the wall, where the window still opens on this day
        case
            when openings.opens_on = now_there.local_date
                then now_there.local_hour
        end as local_hour_before_opening
    from windows
    inner join local_hours as now_there
        on
            windows.timezone = now_there.timezone
            and now_there.instant = {{ as_of() }}
    left join openings
        on windows.window_id = openings.window_id
    left join holidays
        on
            windows.holiday_country = holidays.country
            and now_there.local_date = holidays.holiday_date
)

select * from send_windows
