with source as (

    select * from {{ source('yammer', 'raw_events') }}

),

users as (

    select
        {{ float_id('user_id') }} as user_id,
        {{ float_id('company_id') }} as account_id
    from {{ source('yammer', 'raw_users') }}

),

vocabulary as (

    select
        event_name,
        kind,
        label
    from {{ ref('product_events') }}
    where source_pack = 'yammer'

),

typed as (

    select
        {{ float_id('source.user_id') }} as user_id,
        source.event_name,
        vocabulary.kind,
        vocabulary.label,
        source.location,
        source.device,
        source.user_type,
        try_cast(source.occurred_at as timestamp) as occurred_at
    from source
    inner join vocabulary on source.event_name = vocabulary.event_name

),

-- An event has no id of its own: rows that agree in every column are one event received twice.
deduplicated as (

    select distinct *
    from typed
    where user_id is not null and occurred_at is not null

),

keyed as (

    select
        {{ surrogate_key([
            'deduplicated.user_id', 'event_name', 'occurred_at', 'location', 'device', 'user_type'
        ]) }} as event_id,
        deduplicated.user_id,
        users.account_id,
        deduplicated.event_name,
        deduplicated.kind,
        deduplicated.label,
        {{ facts(['location', 'device', 'user_type']) }} as properties,
        deduplicated.occurred_at,
        deduplicated.occurred_at as received_at
    from deduplicated
    left join users on deduplicated.user_id = users.user_id

)

select * from keyed
