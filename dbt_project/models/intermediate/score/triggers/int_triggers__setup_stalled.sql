with users as (select * from {{ ref('int_users_enriched') }}),

activity as (
    select
        *,
        coalesce(last_seen_at, created_at) + interval '2 days' as stalled_at
    from users
),

conditions as (
    select
        user_id,
        stalled_at as triggered_at,
        'signup' as occurrence_key,
        {{ facts([
            'first_name', 'account_name',
            'setup_steps_done', 'setup_steps_total', 'next_setup_step',
        ]) }} as facts,
        -- before the second day it is no stall, after the trial's two weeks no start
        coalesce(days_since_signup between 2 and 14, false) as is_in_first_fortnight,
        coalesce(stalled_at <= {{ as_of() }}, false) as is_quiet_for_two_days,
        activated_at is null as is_not_activated,
        next_setup_step is not null as has_setup_left
    from activity
)

select {{ candidate_columns() }}
from conditions
where
    is_in_first_fortnight
    and is_quiet_for_two_days
    and is_not_activated
    and has_setup_left
