with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

known_zones as (select * from {{ ref('int_time_zones') }}),

usual_hours as (select * from {{ ref('int_usual_hours') }}),

windows as (
    select
        candidates.message_id,
        users.timezone,
        case
            when campaigns.window_skips_holidays then users.country
        end as holiday_country,
        -- from the usual hour to the window's end: a tick may come later than it
        case
            when
                campaigns.window_prefers_usual_hour
                and usual_hours.usual_hour >= campaigns.window_from_hour
                and usual_hours.usual_hour < campaigns.window_to_hour
                then usual_hours.usual_hour
            else campaigns.window_from_hour
        end as from_hour,
        campaigns.window_to_hour as to_hour,
        campaigns.window_weekdays as weekdays
    from candidates
    inner join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    inner join users
        on candidates.user_id = users.user_id
    -- a zone that the engine doesn't know has no window, and is held
    inner join known_zones
        on users.timezone = known_zones.timezone
    left join usual_hours
        on candidates.user_id = usual_hours.user_id
    where campaigns.window_from_hour is not null
),

keyed as (
    select
        *,
        {{ surrogate_key([
            'timezone', 'holiday_country', 'from_hour', 'to_hour', 'weekdays'
        ]) }} as window_id
    from windows
)

select * from keyed
