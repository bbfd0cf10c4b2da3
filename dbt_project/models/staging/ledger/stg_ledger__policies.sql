with source as (

    select * from {{ source('ledger', 'raw_ledger_policies') }}

),

as_it_stood as (

    select
        source_pack,
        campaign_id,
        cast(version as integer) as version,
        policy_hash,
        policy,
        valid_from,
        -- what this very tick or a later one brought has not come yet
        case when valid_to < {{ as_of() }} then valid_to end as valid_to
    from source
    where
        source_pack = '{{ var("source_pack") }}'
        and valid_from < {{ as_of() }}

)

select * from as_it_stood
