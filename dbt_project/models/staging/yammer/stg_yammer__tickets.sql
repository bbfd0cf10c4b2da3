-- The set knows no support tickets: an empty relation.
select
    cast(null as varchar) as ticket_id,
    cast(null as varchar) as user_id,
    cast(null as varchar) as subject,
    cast(null as varchar) as status,
    cast(null as timestamp) as opened_at,
    cast(null as timestamp) as closed_at
where false
