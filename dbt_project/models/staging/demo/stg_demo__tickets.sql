with source as (

    select * from {{ source('demo', 'raw_tickets') }}

),

renamed as (

    select
        ticket_id,
        user_id,
        subject,
        status,
        opened_at,
        closed_at
    from source
    where ticket_id is not null and opened_at is not null

)

select * from renamed
