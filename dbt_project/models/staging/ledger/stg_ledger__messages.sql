with source as (

    select * from {{ source('ledger', 'raw_ledger_messages') }}

),

planned_before as (

    select *
    from source
    where
        source_pack = '{{ var("source_pack") }}'
        and planned_as_of < {{ as_of() }}

),

as_it_stood as (

    select
        message_id,
        source_pack,
        campaign_id,
        user_id,
        account_id,
        occurrence_key,
        message_type,
        channel,
        variant,
        decision_id,
        planned_as_of,
        updated_at,
        -- what this very tick did, or a later one in a replay, has not happened yet
        case when sent_as_of < {{ as_of() }} then sent_as_of end as sent_as_of,
        case
            when state_as_of >= {{ as_of() }} then 'planned' else state
        end as state,
        case
            when state_as_of >= {{ as_of() }} then null else state_reason
        end as state_reason
    from planned_before

)

select * from as_it_stood
