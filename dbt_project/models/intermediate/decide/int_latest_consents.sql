with consents as (select * from {{ ref('stg_consents') }}),

latest as (
    select
        user_id,
        channel,
        message_type,
        -- of two changes at one moment the withdrawal stands
        arg_max(status, (recorded_at, status = 'withdrawn', consent_id))
            as status
    from consents
    group by 1, 2, 3
)

select * from latest
