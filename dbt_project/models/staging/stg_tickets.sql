with pack as (

    select * from {{ ref('stg_' ~ var('source_pack') ~ '__tickets') }}

),

-- a ticket that was closed later was still open then
known_by_then as (

    select
        ticket_id,
        user_id,
        subject,
        case
            when closed_at <= {{ as_of() }} then 'closed' else 'open'
        end as status,
        opened_at,
        case when closed_at <= {{ as_of() }} then closed_at end as closed_at
    from pack
    where opened_at <= {{ as_of() }}

)

select * from known_by_then
