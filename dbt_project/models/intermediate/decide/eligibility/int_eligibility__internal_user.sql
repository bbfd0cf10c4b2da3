with candidates as (select * from {{ ref('int_candidates_unioned') }}),

users as (select * from {{ ref('int_users_enriched') }}),

judged as (
    select
        candidates.message_id,
        case
            when users.is_internal then 'internal_user'
            when users.is_bot then 'bot'
            -- no such user, or a source that can't tell
            when users.is_internal is null or users.is_bot is null
                then 'unknown_user'
        end as reason
    from candidates
    left join users
        on candidates.user_id = users.user_id
)

select
    message_id,
    'internal_user' as rule,
    reason is not null as is_blocked,
    coalesce(reason in ('internal_user', 'bot'), false) as is_permanent,
    reason
from judged
