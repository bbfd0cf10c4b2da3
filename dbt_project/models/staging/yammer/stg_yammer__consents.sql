with stand_ins as (

    select * from {{ ref('stg_yammer__stand_ins') }}

),

message_types as (

    select 'product_tips' as message_type
    union all
    select 'product_news' as message_type

),

granted as (

    select
        {{ surrogate_key(['stand_ins.user_id', 'message_types.message_type']) }} as consent_id,
        stand_ins.user_id,
        'email' as channel,
        message_types.message_type,
        'granted' as status,
        'first_mail_sent' as source,
        cast(null as varchar) as text_version,
        stand_ins.consented_at as recorded_at
    from stand_ins
    cross join message_types
    where stand_ins.consented_at is not null

)

select * from granted
