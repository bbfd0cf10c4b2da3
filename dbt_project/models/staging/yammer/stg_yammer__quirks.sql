-- One pass per landed table; what a row's handling is, stands beside its count.
with vocabulary as (

    select event_name
    from {{ ref('product_events') }}
    where source_pack = 'yammer'

),

events as (

    select
        count(*) filter (where {{ float_id('user_id') }} is null) as without_user,
        count(*) filter (
            where try_cast(occurred_at as timestamp) is null
        ) as without_time,
        count(*) filter (
            where event_name is null or event_name not in (
                select vocabulary.event_name from vocabulary
            )
        ) as of_unknown_name,
        count(*) filter (where user_type is null) as without_user_type,
        count(*) as zoneless,
        count(*) filter (where user_id like '%.0') as with_float_id
    from {{ source('yammer', 'raw_events') }}

),

copies as (

    select cast(sum(n_rows - 1) as bigint) as received_again
    from (
        select count(*) as n_rows
        from {{ source('yammer', 'raw_events') }}
        group by
            user_id, occurred_at, event_type, event_name, location, device, user_type
    ) as counted

),

users as (

    select
        count(*) as without_address,
        count(*) filter (where user_id like '%.0') as with_float_id,
        count(*) filter (
            where {{ float_id('user_id') }} is null
            or try_cast(created_at as timestamp) is null
        ) as without_key,
        count(*) filter (where state = 'pending') as pending,
        count(*) filter (where language = 'indian') as without_locale
    from {{ source('yammer', 'raw_users') }}

),

experiments as (

    select count(*) as assignments
    from {{ source('yammer', 'raw_experiments') }}

),

stand_ins as (

    select
        count(*) filter (where consented_at is null) as without_consent,
        count(*) filter (where timezone is null) as without_zone
    from {{ ref('stg_yammer__stand_ins') }}

),

quirks as (

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
        'event of a name that is not in the vocabulary' as quirk,
        events.of_unknown_name as rows,
        'left out' as handling
    from events

    union all

    select
        'event received again' as quirk,
        copies.received_again as rows,
        'one kept' as handling
    from copies

    union all

    select
        'event without a user type' as quirk,
        events.without_user_type as rows,
        'kept, the type stays null' as handling
    from events

    union all

    select
        'event with a float as user id' as quirk,
        events.with_float_id as rows,
        'read as an integer' as handling
    from events

    union all

    select
        'event whose time has no zone' as quirk,
        events.zoneless as rows,
        'read as UTC' as handling
    from events

    union all

    select
        'user with a float as id' as quirk,
        users.with_float_id as rows,
        'read as an integer' as handling
    from users

    union all

    select
        'user without an id or creation time' as quirk,
        users.without_key as rows,
        'left out' as handling
    from users

    union all

    select
        'user without an address' as quirk,
        users.without_address as rows,
        'reserved address stands in' as handling
    from users

    union all

    select
        'user who never finished signing up' as quirk,
        users.pending as rows,
        'kept' as handling
    from users

    union all

    select
        'user whose language names no locale' as quirk,
        users.without_locale as rows,
        'fallback locale of the campaign' as handling
    from users

    union all

    select
        'user who was never sent a digest or a re-engagement mail' as quirk,
        stand_ins.without_consent as rows,
        'no consent, never mailed' as handling
    from stand_ins

    union all

    select
        'user without a country of a single time zone' as quirk,
        stand_ins.without_zone as rows,
        'held by send_window' as handling
    from stand_ins

    union all

    select
        'assignment of an experiment that is not ours' as quirk,
        experiments.assignments as rows,
        'used by no campaign' as handling
    from experiments

)

select * from quirks
