with source as (

    select * from {{ source('ledger', 'raw_ledger_ticks') }}

),

earlier_ticks as (

    select
        run_id,
        source_pack,
        campaign_id,
        status,
        candidates,
        sends,
        as_of
    from source
    where
        source_pack = '{{ var("source_pack") }}'
        and as_of < {{ as_of() }}

)

select * from earlier_ticks
