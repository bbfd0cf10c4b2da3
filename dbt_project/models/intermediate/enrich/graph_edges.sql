with users as (

    select * from {{ ref('stg_users') }}

),

accounts as (

    select * from {{ ref('stg_accounts') }}

),

user_features as (

    select * from {{ ref('int_user_features') }}

),

feature_paths as (

    select * from {{ ref('int_feature_paths') }}

),

memberships as (

    select
        'user:' || users.user_id as from_node_id,
        'account:' || accounts.account_id as to_node_id,
        'member_of' as edge_type,
        cast(1 as double) as weight
    from users
    inner join accounts on users.account_id = accounts.account_id

),

uses as (

    select
        'user:' || users.user_id as from_node_id,
        'feature:' || user_features.feature as to_node_id,
        'uses' as edge_type,
        -- the feature's share of what the user did with features in the recent days
        user_features.events_28d / cast(
            sum(user_features.events_28d) over (
                partition by user_features.user_id
            ) as double
        ) as weight
    from user_features
    inner join users on user_features.user_id = users.user_id
    where user_features.events_28d > 0

),

leads_to as (

    select
        'feature:' || used_feature as from_node_id,
        'feature:' || next_feature as to_node_id,
        'leads_to' as edge_type,
        share as weight
    from feature_paths

),

edges as (

    select * from memberships
    union all
    select * from uses
    union all
    select * from leads_to

)

select
    {{ surrogate_key(['from_node_id', 'to_node_id', 'edge_type']) }} as edge_id,
    from_node_id,
    to_node_id,
    edge_type,
    weight
from edges
