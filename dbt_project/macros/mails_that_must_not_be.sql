{#-
    What follows a CTE of mails (message_id, campaign_id, user_id): those that would arrive at this tick outside
    the campaign's hours and days by the clock on the recipient's wall, on a holiday that it skips, or where
    nobody knows what time it is. Asked of the clock and the policy, not of the rule.
-#}
{% macro outside_the_window(mails) -%}
campaigns as (
    select * from {{ ref('dim_campaigns') }}
    where window_from_hour is not null
),

users as (select * from {{ ref('int_users_enriched') }}),

local_times as (
    select
        mails.message_id,
        campaigns.window_from_hour,
        campaigns.window_to_hour,
        campaigns.window_weekdays,
        case when campaigns.window_skips_holidays then users.country end
            as holiday_country,
        timezone(users.timezone, timezone('UTC', {{ as_of() }})) as local_time
    from {{ mails }} as mails
    inner join campaigns
        on mails.campaign_id = campaigns.campaign_id
    left join users
        on mails.user_id = users.user_id
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
{%- endmacro %}


{#-
    What follows a CTE of mails (message_id, campaign_id, user_id, message_type, channel): those on consent without
    a grant on their channel or with a later withdrawal, and those on legitimate interest with a withdrawal that
    stands. Asked of the consents themselves, not of the rule.
-#}
{% macro without_consent(mails) -%}
campaigns as (select * from {{ ref('dim_campaigns') }}),

last_words as (
    select
        user_id,
        channel,
        message_type,
        max(case when status = 'granted' then recorded_at end) as granted_at,
        max(case when status <> 'granted' then recorded_at end) as refused_at
    from {{ ref('stg_consents') }}
    group by 1, 2, 3
)

select
    mails.message_id,
    campaigns.legal_basis,
    last_words.granted_at,
    last_words.refused_at
from {{ mails }} as mails
left join campaigns
    on mails.campaign_id = campaigns.campaign_id
left join last_words
    on
        mails.user_id = last_words.user_id
        and mails.channel = last_words.channel
        and mails.message_type = last_words.message_type
where
    campaigns.legal_basis is null
    or (
        campaigns.legal_basis = 'consent'
        and last_words.granted_at is null
    )
    or (
        campaigns.legal_basis <> 'transactional'
        and last_words.refused_at
        >= coalesce(last_words.granted_at, last_words.refused_at)
    )
{%- endmacro %}
