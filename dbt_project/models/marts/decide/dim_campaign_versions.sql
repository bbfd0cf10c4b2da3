with campaigns as (select * from {{ ref('dim_campaigns') }}),

earlier_versions as (select * from {{ ref('stg_ledger__policies') }}),

-- the version in force goes on while nothing about it has changed
continued as (
    select
        earlier_versions.campaign_id,
        earlier_versions.version,
        earlier_versions.policy_hash,
        earlier_versions.valid_from,
        case
            when earlier_versions.valid_to is not null
                then earlier_versions.valid_to
            when
                campaigns.policy_hash is null
                or campaigns.policy_hash <> earlier_versions.policy_hash
                then {{ as_of() }}
        end as valid_to,
        earlier_versions.policy
    from earlier_versions
    left join campaigns
        on earlier_versions.campaign_id = campaigns.campaign_id
),

-- one pass for both: joined once more for the version in force, DuckDB 2.0
-- loses the rows that have none
last_versions as (
    select
        campaign_id,
        max(version) as version,
        bool_or(valid_to is null) as is_in_force
    from continued
    group by 1
),

begun as (
    select
        campaigns.campaign_id,
        cast(coalesce(last_versions.version, 0) + 1 as integer) as version,
        campaigns.policy_hash,
        {{ as_of() }} as valid_from,
        cast(null as timestamp) as valid_to,
        campaigns.policy
    from campaigns
    left join last_versions
        on campaigns.campaign_id = last_versions.campaign_id
    where not coalesce(last_versions.is_in_force, false)
),

versions as (
    select * from continued
    union all
    select * from begun
)

select * from versions
