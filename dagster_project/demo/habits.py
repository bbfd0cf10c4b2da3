"""What nobody in the warehouse can see: the habits behind the behaviour, one row per person.

`truth.parquet` keeps them beside the landed files, so that an evaluation can be held against what is really so.
"""

from __future__ import annotations

MACROS = """
-- A step within the hour follows at once; one on a later day falls into office hours.
create temp macro next_step(earlier, wait_days, salt, n, offset_seconds) as
    if(wait_days < 0.05, later(earlier, wait_days + 0.003),
        greatest(in_office(later(earlier, wait_days), salt || ' minute', n, offset_seconds), later(earlier, 0.003)));

create temp macro adopted(feature, n, created_at, share, mean_days) as
    case when draw('adopts ' || feature, n) < share
        then (created_at::date - date '1970-01-01')::int + floor(draw_exponential('adopts when ' || feature, n,
            mean_days))::int
    end
"""

# How far each person gets in setting up, when they see value, how often they come, when they leave and whether they
# return. `step_*` and `value_at` are moments, null when never reached, and may lie after the data was read. A `*_from`
# is the day number (days since 1970) from which a feature is used.
HABITS = """
create temp table habits as
with steps as (
    select
        *,
        case when draw('step 1', user_num) < 0.94
            then later(created_at, 0.002 + 0.02 * draw('step 1 wait', user_num)) end
            as step_1,
        if(draw('step 2 now', user_num) < 0.65, 0.03, 5.0) * draw('step 2 wait', user_num) as wait_2,
        if(draw('step 3 now', user_num) < 0.60, 0.03, 6.0) * draw('step 3 wait', user_num) as wait_3,
        if(draw('step 4 now', user_num) < 0.50, 0.03, 8.0) * draw('step 4 wait', user_num) as wait_4,
        0.03 + draw_exponential('value wait', user_num, 3.5) as wait_value
    from people
),
second as (
    select *, case when draw('step 2', user_num) < 0.85
        then next_step(step_1, wait_2, 'step 2', user_num, offset_seconds) end
        as step_2
    from steps
),
third as (
    select *, case when draw('step 3', user_num) < 0.90
        then next_step(step_2, wait_3, 'step 3', user_num, offset_seconds) end
        as step_3
    from second
),
reached as (
    select
        *,
        case when draw('step 4', user_num) < 0.65 then next_step(step_3, wait_4, 'step 4', user_num, offset_seconds) end
            as step_4,
        case when draw('value', user_num) < 0.88
            then next_step(step_3, wait_value, 'value', user_num, offset_seconds) end
            as value_at
    from third
),
lived as (
    select
        *,
        case when is_bot then 10.0 when value_at is null then 0.18
            else 0.06 + 0.86 * power(draw('intensity', user_num), 1.3) end as intensity,
        3.6 + 11 * power(draw('depth of use', user_num), 2) as depth,
        case
            when is_bot or is_internal then 5000.0
            when value_at is null then 1 + draw_exponential('short life', user_num, 9.0)
            else days_between(created_at, value_at) + draw_exponential('long life', user_num, 620.0)
        end as life_days
    from reached
),
left_at as (
    select *, least(later(created_at, life_days), case when is_internal then timestamp '9999-01-01'
        else later(account_ended_at, case when account_ended_at < getvariable('ends_at') then 2.0 else 5000.0 end) end)
        as left_at
    from lived
)
select
    *,
    ((created_at + to_seconds(offset_seconds))::date - date '1970-01-01')::int as created_day,
    (left_at::date - date '1970-01-01')::int as last_day,
    case when draw('returns', user_num) < 0.15
        then (left_at::date - date '1970-01-01')::int + 20 + floor(60 * draw('return wait', user_num))::int end
            as return_day,
    (step_3::date - date '1970-01-01')::int as report_from,
    (value_at::date - date '1970-01-01')::int as share_from,
    adopted('alert', user_num, created_at, 0.45, 30) as alert_from,
    adopted('export', user_num, created_at, 0.60, 10) as export_from,
    adopted('api', user_num, created_at, 0.14, 40) as api_from,
    adopted('integration', user_num, created_at, 0.35, 20) as integration_from,
    case when draw('automation too', user_num) < 0.5
        then adopted('alert', user_num, created_at, 0.45, 30) + 2 + floor(draw_exponential('automation', user_num,
            25))::int
    end as automation_from
from left_at
"""
