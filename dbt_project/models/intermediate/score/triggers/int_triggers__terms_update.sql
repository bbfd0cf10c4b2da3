with users as (select * from {{ ref('int_users_enriched') }}),

-- the terms that everybody is asked to read; new terms are a change of these three values
terms as (
    select
        '2026-08' as terms_version,
        cast('2026-08-20 09:00:00' as timestamp) as terms_announced_at,
        cast('2026-10-01' as date) as terms_effective_on
),

notices as (
    select
        users.*,
        terms.terms_version,
        terms.terms_announced_at,
        terms.terms_effective_on
    from users
    cross join terms
),

conditions as (
    select
        user_id,
        terms_announced_at as triggered_at,
        terms_version as occurrence_key,
        {{ facts(['first_name', 'account_name', 'terms_version', 'terms_effective_on']) }} as facts,
        terms_announced_at <= {{ as_of() }} as is_announced,
        terms_effective_on > cast({{ as_of() }} as date) as is_not_in_force,
        -- the owner agrees for the whole account
        coalesce(is_account_owner, false) as is_owner,
        coalesce(accepted_terms_version < terms_version, false) as has_older_terms
    from notices
)

select {{ candidate_columns() }}
from conditions
where is_announced and is_not_in_force and is_owner and has_older_terms
