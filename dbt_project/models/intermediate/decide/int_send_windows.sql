{# Every zone in use is walked in steps of 15 minutes of UTC: all offsets are
   multiples of it, so gaps and overlaps of daylight saving need no rule. #}
with users as (select * from {{ ref('int_users_enriched') }}),

known_zones as (select * from {{ ref('int_time_zones') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

zones as materialized (
    -- a zone that the engine doesn't know has no window, and is held
    select distinct users.timezone
    from users
    inner join known_zones
        on users.timezone = known_zones.timezone
),

windows as (
    select distinct
        window_from_hour,
        window_to_hour,
        window_weekdays
    from campaigns
    where window_from_hour is not null
),

instants as (
    select {{ as_of() }} as instant
    union
    select
        date_trunc('hour', {{ as_of() }})
        + to_minutes(15 * cast(steps.step as integer)) as instant
    from range(1, 8 * 24 * 4 + 1) as steps (step)
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
        extract(hour from local_time) as local_hour,
        extract(isodow from local_time) as local_weekday
    from local_times
),

send_windows as (
    select
        local_hours.timezone,
        windows.window_from_hour,
        windows.window_to_hour,
        windows.window_weekdays,
        min(local_hours.instant) = {{ as_of() }} as is_open,
        min(local_hours.instant) as opens_at
    from local_hours
    inner join windows
        on
            local_hours.local_hour >= windows.window_from_hour
            and local_hours.local_hour < windows.window_to_hour
            and list_contains(
                cast(cast(windows.window_weekdays as json) as integer[]),
                local_hours.local_weekday
            )
    group by 1, 2, 3, 4
)

select * from send_windows
