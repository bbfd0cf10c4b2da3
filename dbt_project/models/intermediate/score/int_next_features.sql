with users as (
    select * from {{ ref('int_users_enriched') }}
    where top_feature is not null
),

features as (
    select * from {{ ref('graph_nodes') }}
    where node_type = 'feature'
),

paths as (
    select
        first_feature.label as used_feature,
        second_feature.label as next_feature,
        edges.weight as share
    from {{ ref('graph_edges') }} as edges
    inner join features as first_feature on edges.from_node_id = first_feature.node_id
    inner join features as second_feature on edges.to_node_id = second_feature.node_id
    where edges.edge_type = 'leads_to'
),

-- ever used, not only of late: the graph's own `uses` edges forget after four weeks
used_features as (
    select
        user_id,
        feature
    from {{ ref('int_user_features') }}
),

suggestions as (
    select
        users.user_id,
        paths.used_feature,
        paths.next_feature,
        paths.share,
        -- the name decides between equal shares, so that the same data suggest the same
        row_number() over (
            partition by users.user_id
            order by paths.share desc, paths.next_feature asc
        ) as preference
    from users
    inner join paths on users.top_feature = paths.used_feature
    left join used_features
        on
            users.user_id = used_features.user_id
            and paths.next_feature = used_features.feature
    where used_features.feature is null
)

select
    user_id,
    used_feature,
    next_feature,
    share
from suggestions
where preference = 1
