{%- set salt = "variant:' || candidates.campaign_id || '" -%}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

chances as (select * from {{ ref('int_campaign_chances') }}),

variants as (select * from {{ ref('int_campaign_variants') }}),

bucketed as (
    select
        candidates.message_id,
        candidates.campaign_id,
        {{ hash_bucket(salt, 'candidates.user_id') }} as variant_bucket
    from candidates
),

assignments as (
    select
        bucketed.message_id,
        variants.variant,
        variants.share as variant_share,
        chances.rollout_share,
        chances.holdout_global_share,
        chances.holdout_share
    from bucketed
    inner join chances
        on bucketed.campaign_id = chances.campaign_id
    inner join variants
        on
            bucketed.campaign_id = variants.campaign_id
            and bucketed.variant_bucket >= variants.from_bucket
            and bucketed.variant_bucket < variants.to_bucket
),

propensities as (
    select
        message_id,
        variant,
        -- the probability of each outcome that chance alone decided
        1 - rollout_share as not_in_rollout,
        rollout_share as in_rollout,
        rollout_share * holdout_global_share as held_out_globally,
        rollout_share * (1 - holdout_global_share) * holdout_share
            as held_out_of_campaign,
        rollout_share * (1 - holdout_global_share) * (1 - holdout_share)
            as treated,
        rollout_share * (1 - holdout_global_share) * (1 - holdout_share)
        * variant_share as treated_with_variant
    from assignments
)

select * from propensities
