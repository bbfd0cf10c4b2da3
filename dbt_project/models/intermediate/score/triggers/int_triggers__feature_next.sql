with users as (select * from {{ ref('int_users_enriched') }}),

next_features as (select * from {{ ref('int_next_features') }}),

suggestions as (
    select
        users.*,
        next_features.used_feature,
        next_features.next_feature,
        next_features.share
    from users
    left join next_features on users.user_id = next_features.user_id
),

conditions as (
    select
        user_id,
        -- a tip follows use: each visit makes it timely again, absence lets it expire
        last_seen_at as triggered_at,
        next_feature as occurrence_key,
        {{ facts(['first_name', 'used_feature', 'next_feature']) }} as facts,
        activated_at is not null as is_activated,
        coalesce(last_seen_at > {{ as_of() }} - interval '3 days', false) as is_seen_lately,
        -- twice a week: a habit to build on
        coalesce(active_days_28d >= 8, false) as has_habit,
        -- who uses four or more finds the next one alone
        coalesce(features_used_28d <= 3, false) as has_few_features,
        next_feature is not null as has_next_feature,
        -- below a quarter of the people who went that way, it is no path but a guess
        coalesce(share >= 0.25, false) as is_well_trodden
    from suggestions
)

select {{ candidate_columns() }}
from conditions
where
    is_activated
    and is_seen_lately
    and has_habit
    and has_few_features
    and has_next_feature
    and is_well_trodden
