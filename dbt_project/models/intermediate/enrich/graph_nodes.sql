with users as (

    select
        'user:' || user_id as node_id,
        'user' as node_type,
        -- an id, not a name: the graph is looked at by more people than may read names
        user_id as label
    from {{ ref('stg_users') }}

),

accounts as (

    select
        'account:' || account_id as node_id,
        'account' as node_type,
        coalesce(name, account_id) as label
    from {{ ref('stg_accounts') }}

),

features as (

    select distinct
        'feature:' || label as node_id,
        'feature' as node_type,
        label
    from {{ ref('product_events') }}
    where source_pack = '{{ var("source_pack") }}' and kind = 'feature'

),

nodes as (

    select * from users
    union all
    select * from accounts
    union all
    select * from features

)

select * from nodes
