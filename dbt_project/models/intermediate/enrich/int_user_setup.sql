with users as (

    select * from {{ ref('stg_users') }}

),

steps as (

    select
        event_name,
        label,
        ordinal
    from {{ ref('product_events') }}
    where source_pack = '{{ var("source_pack") }}' and kind = 'setup_step'

),

done as (

    select distinct
        user_id,
        event_name
    from {{ ref('int_user_days') }}
    where kind = 'setup_step'

),

progress as (

    select
        users.user_id,
        count(done.event_name) as setup_steps_done,
        count(*) as setup_steps_total,
        min(steps.ordinal) filter (where done.event_name is null) as next_ordinal
    from users
    cross join steps
    left join done
        on
            users.user_id = done.user_id
            and steps.event_name = done.event_name
    group by 1

)

select
    progress.user_id,
    steps.label as next_setup_step,
    progress.setup_steps_done,
    progress.setup_steps_total
from progress
left join steps on progress.next_ordinal = steps.ordinal
