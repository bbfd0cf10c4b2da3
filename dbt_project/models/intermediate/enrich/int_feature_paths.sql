with user_features as (

    select * from {{ ref('int_user_features') }}

),

users_per_feature as (

    select
        feature,
        count(*) as users
    from user_features
    group by 1

),

-- users who took up the second feature after the first, soon enough to call it a consequence
followed as (

    select
        first_uses.feature as used_feature,
        next_uses.feature as next_feature,
        count(*) as followers
    from user_features as first_uses
    inner join user_features as next_uses
        on
            first_uses.user_id = next_uses.user_id
            and first_uses.first_used_at < next_uses.first_used_at
            and {{ days_between('first_uses.first_used_at', 'next_uses.first_used_at') }}
            <= {{ var('leads_to_window_days') }}
    group by 1, 2

)

select
    followed.used_feature,
    followed.next_feature,
    users_per_feature.users,
    followed.followers,
    followed.followers / cast(users_per_feature.users as double) as share
from followed
inner join users_per_feature on followed.used_feature = users_per_feature.feature
where users_per_feature.users >= {{ var('leads_to_min_users') }}
