{%- set per_24_hours = var('marketing_messages_per_24_hours', 1) -%}
{%- set per_7_days = var('marketing_messages_per_7_days', 3) -%}
with campaigns as (select * from {{ ref('dim_campaigns') }}),

marketing as (
    select * from campaigns
    where is_marketing
),

caps as (
    select
        campaign_id,
        {{ per_24_hours }} as cap_count,
        24 as window_hours
    from marketing
    union all
    select
        campaign_id,
        {{ per_7_days }} as cap_count,
        7 * 24 as window_hours
    from marketing
    union all
    select
        campaign_id,
        cap_count,
        cap_window_days * 24 as window_hours
    from marketing
    where cap_count is not null
),

strictest as (
    select
        campaign_id,
        window_hours,
        min(cap_count) as cap_count
    from caps
    group by 1, 2
)

select * from strictest
