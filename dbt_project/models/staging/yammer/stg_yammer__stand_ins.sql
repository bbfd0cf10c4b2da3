{{ config(materialized="table") }}
-- a table: six views read it, and each would look for every user's latest event again

-- The one place that says what stands in for what the set does not have. Each stand-in follows
-- from the data or from a reserved name; whatever is not here stays null, and the rules that need
-- it hold.
--   address    user-<id> under a name reserved for examples (RFC 2606): valid, nobody's mailbox
--   consent    the network sent its weekly digest and its re-engagement mails to users who had
--              agreed to mail: consent to tips and to news dates from the first of these mails
--   time zone  from the country of the latest event, only where a country has a single zone
--   locale     from the language's name; "indian" names no language
--   staff      no user is marked as staff, so nobody counts as internal
--   receipt    an event has only the time it occurred: it counts as received then
with users as (

    select * from {{ source('yammer', 'raw_users') }}

),

events as (

    select
        {{ float_id('user_id') }} as user_id,
        location,
        try_cast(occurred_at as timestamp) as occurred_at
    from {{ source('yammer', 'raw_events') }}

),

mails as (

    select
        {{ float_id('user_id') }} as user_id,
        try_cast(occurred_at as timestamp) as occurred_at
    from {{ source('yammer', 'raw_email_events') }}
    where action in ('sent_weekly_digest', 'sent_reengagement_email')

),

zones as (

    select * from {{ ref('country_time_zones') }}

),

consented as (

    select
        user_id,
        min(occurred_at) as consented_at
    from mails
    group by 1

),

latest_events as (

    select
        user_id,
        location,
        row_number() over (
            partition by user_id
            order by occurred_at desc, location asc
        ) as recency
    from events
    where occurred_at <= {{ as_of() }}

),

stand_ins as (

    select
        {{ float_id('users.user_id') }} as user_id,
        'user-' || {{ float_id('users.user_id') }} || '@yammer.example' as email,
        case users.language
            when 'arabic' then 'ar'
            when 'chinese' then 'zh'
            when 'english' then 'en'
            when 'french' then 'fr'
            when 'german' then 'de'
            when 'italian' then 'it'
            when 'japanese' then 'ja'
            when 'korean' then 'ko'
            when 'portugese' then 'pt'
            when 'russian' then 'ru'
            when 'spanish' then 'es'
        end as locale,
        zones.timezone,
        false as is_internal,
        consented.consented_at
    from users
    left join consented on {{ float_id('users.user_id') }} = consented.user_id
    left join latest_events
        on
            {{ float_id('users.user_id') }} = latest_events.user_id
            and latest_events.recency = 1
    left join zones on latest_events.location = zones.country
    where {{ float_id('users.user_id') }} is not null

)

select * from stand_ins
