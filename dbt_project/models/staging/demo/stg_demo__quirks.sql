-- One pass per landed table; what a row's handling is, stands beside its count.
with vocabulary as (

    select event_name
    from {{ ref('product_events') }}
    where source_pack = 'demo'

),

zones as (

    select timezone from {{ time_zone_names() }} as named

),

events as (

    select
        count(*) filter (where event_id is null) as without_id,
        count(*) filter (where user_id is null) as without_user,
        count(*) filter (
            where occurred_at is null or received_at is null
        ) as without_time,
        count(*) filter (
            where properties is not null and not {{ is_json('properties') }}
        ) as with_broken_properties,
        count(*) filter (
            where event_name is null or event_name not in (
                select vocabulary.event_name from vocabulary
            )
        ) as of_unknown_name,
        count(event_id) - count(distinct event_id) as received_again,
        count(*) filter (
            where received_at >= occurred_at + interval '{{ var("late_event_hours") }} hours'
        ) as late,
        count(*) filter (where occurred_at > received_at) as ahead_of_receipt
    from {{ source('demo', 'raw_events') }}

),

users as (

    select
        count(*) filter (
            where user_id is null or created_at is null
        ) as without_key,
        count(*) filter (where timezone is null) as without_zone,
        count(*) filter (
            where timezone is not null
            and timezone not in (select zones.timezone from zones)
        ) as with_unknown_zone,
        count(*) filter (where email is null) as without_address,
        count(*) filter (
            where email is not null and not {{ is_address('trim(email)') }}
        ) as with_malformed_address,
        count(*) filter (where trim(first_name) = '') as with_blank_name,
        count(*) filter (where locale is null) as without_locale,
        count(*) filter (where position('_' in locale) > 0) as with_underscored_locale
    from {{ source('demo', 'raw_users') }}

),

quirks as (

    select
        'event without an id' as quirk,
        events.without_id as rows,
        'left out' as handling
    from events

    union all

    select
        'event without a user' as quirk,
        events.without_user as rows,
        'left out' as handling
    from events

    union all

    select
        'event without a time' as quirk,
        events.without_time as rows,
        'left out' as handling
    from events

    union all

    select
        'event whose properties are not JSON' as quirk,
        events.with_broken_properties as rows,
        'left out' as handling
    from events

    union all

    select
        'event of a name that is not in the vocabulary' as quirk,
        events.of_unknown_name as rows,
        'left out' as handling
    from events

    union all

    select
        'event received again' as quirk,
        events.received_again as rows,
        'first receipt kept' as handling
    from events

    union all

    select
        'event received late' as quirk,
        events.late as rows,
        'read once received' as handling
    from events

    union all

    select
        'event later than its receipt' as quirk,
        events.ahead_of_receipt as rows,
        'time set to the receipt' as handling
    from events

    union all

    select
        'user without an id or creation time' as quirk,
        users.without_key as rows,
        'left out' as handling
    from users

    union all

    select
        'user without a time zone' as quirk,
        users.without_zone as rows,
        'zone of the account owner' as handling
    from users

    union all

    select
        'user with a time zone that does not exist' as quirk,
        users.with_unknown_zone as rows,
        'zone of the account owner' as handling
    from users

    union all

    select
        'user without an address' as quirk,
        users.without_address as rows,
        'never mailed' as handling
    from users

    union all

    select
        'user with a malformed address' as quirk,
        users.with_malformed_address as rows,
        'address set to null, never mailed' as handling
    from users

    union all

    select
        'user with a blank first name' as quirk,
        users.with_blank_name as rows,
        'name set to null' as handling
    from users

    union all

    select
        'user without a locale' as quirk,
        users.without_locale as rows,
        'fallback locale of the campaign' as handling
    from users

    union all

    select
        'user with an underscore in the locale' as quirk,
        users.with_underscored_locale as rows,
        'underscore read as a hyphen' as handling
    from users

)

select * from quirks
