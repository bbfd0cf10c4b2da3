with acceptances as (

    select
        user_id,
        {{ json_text('properties', 'version') }} as accepted_terms_version,
        occurred_at as accepted_terms_at,
        row_number() over (
            partition by user_id
            order by occurred_at desc, event_id asc
        ) as recency
    from {{ ref('stg_events') }}
    where kind = 'terms_accepted'

)

select
    user_id,
    accepted_terms_version,
    accepted_terms_at
from acceptances
where recency = 1
