-- Of what was sent at this tick, whatever had been decided: by the clock on the
-- recipient's wall it is within the campaign's hours and days, and no holiday
-- that it skips. Returns the others, and those where nobody knows what time it is.
with deliveries as (
    select * from {{ ref('fct_deliveries') }}
    where is_sent and sent_as_of = {{ as_of() }}
),

campaigns as (
    select * from {{ ref('dim_campaigns') }}
    where window_from_hour is not null
),

users as (select * from {{ ref('int_users_enriched') }}),

local_times as (
    select
        deliveries.message_id,
        campaigns.window_from_hour,
        campaigns.window_to_hour,
        campaigns.window_weekdays,
        case when campaigns.window_skips_holidays then users.country end
            as holiday_country,
        timezone(users.timezone, timezone('UTC', deliveries.sent_as_of))
            as local_time
    from deliveries
    inner join campaigns
        on deliveries.campaign_id = campaigns.campaign_id
    left join users
        on deliveries.user_id = users.user_id
)

select local_times.*
from local_times
left join {{ ref('holidays') }} as holidays
    on
        local_times.holiday_country = holidays.country
        and cast(local_times.local_time as date) = holidays.holiday_date
where
    local_times.local_time is null
    or holidays.holiday_date is not null
    or extract(hour from local_time) < window_from_hour
    or extract(hour from local_time) >= window_to_hour
    or not contains(
        window_weekdays, cast(extract(isodow from local_time) as varchar)
    )
