-- A left join that fans out, or an inner one that drops, would change who can be a candidate.
-- Returns rows (test failure) for users that stand on one side only.
with staged as (

    select user_id from {{ ref('stg_users') }}

),

enriched as (

    select user_id from {{ ref('int_users_enriched') }}

)

select
    staged.user_id as staged_user_id,
    enriched.user_id as enriched_user_id
from staged
full outer join enriched on staged.user_id = enriched.user_id
where staged.user_id is null or enriched.user_id is null
