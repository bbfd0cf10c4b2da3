with campaigns as (select * from {{ ref('dim_campaigns') }}),

variants as (
    select
        campaign_id,
        variants,
        unnest(json_keys(variants)) as variant
    from campaigns
),

weighted as (
    select
        campaign_id,
        variant,
        cast(json_extract_string(variants, variant) as double) as weight
    from variants
),

cumulated as (
    select
        campaign_id,
        variant,
        weight / sum(weight) over (partition by campaign_id) as share,
        sum(weight) over (partition by campaign_id order by variant)
        / sum(weight) over (partition by campaign_id) as cumulated_share,
        row_number() over (partition by campaign_id order by variant desc) = 1
            as is_last
    from weighted
),

ranges as (
    select
        campaign_id,
        variant,
        share,
        lag(cumulated_share, 1, 0) over (
            partition by campaign_id order by variant
        ) as from_bucket,
        -- shares that add up to 0.999… must not leave anybody without a variant
        case when is_last then 1 else cumulated_share end as to_bucket
    from cumulated
)

select * from ranges
