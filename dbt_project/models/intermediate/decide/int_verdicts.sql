with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

candidate_windows as (select * from {{ ref('int_candidate_windows') }}),

send_windows as (select * from {{ ref('int_send_windows') }}),

campaign_caps as (
    select
        campaign_id,
        cast(to_json(
            list([cap_count, window_hours] order by window_hours)
        ) as varchar) as caps
    from {{ ref('int_campaign_caps') }}
    group by 1
),

assignments as (select * from {{ ref('int_assignments') }}),

blocked as (select * from {{ ref('int_blocked_candidates') }}),

arbitration as (select * from {{ ref('int_arbitration') }}),

verdicts as (
    select
        candidates.message_id,
        candidates.campaign_id,
        candidates.user_id,
        users.account_id,
        candidates.occurrence_key,
        trim(users.email) as email,
        users.locale,
        campaigns.message_type,
        campaigns.channel,
        case
            when blocked.message_id is not null then blocked.verdict
            when arbitration.is_loser then 'lose'
            when arbitration.message_id is not null then 'send'
            -- a rule that kept silent has not said yes
            else 'hold'
        end as verdict,
        case
            when blocked.message_id is not null then blocked.reason
            when arbitration.is_loser then 'lost_arbitration'
            when arbitration.message_id is not null then 'eligible'
            else 'not_judged'
        end as reason,
        case
            when blocked.message_id is not null then blocked.reasons_all
            when arbitration.is_loser then '["lost_arbitration"]'
            when arbitration.message_id is not null then '[]'
            else '["not_judged"]'
        end as reasons_all,
        assignments.variant,
        case when blocked.is_held_out then 'holdout' else 'treatment' end
            as arm,
        case
            when blocked.reason = 'not_in_rollout'
                then assignments.not_in_rollout
            when blocked.reason = 'holdout_global'
                then assignments.held_out_globally
            when blocked.reason = 'holdout_campaign'
                then assignments.held_out_of_campaign
            when blocked.draws_passed = 'rollout'
                then coalesce(assignments.in_rollout, 1)
            when blocked.draws_passed = 'all' or arbitration.is_loser
                then assignments.treated
            when arbitration.message_id is not null
                then assignments.treated_with_variant
            else 1
        end as propensity,
        candidates.facts,
        campaigns.policy_hash,
        arbitration.winner_message_id,
        candidates.triggered_at,
        {{ as_of() }} as as_of,
        case
            when campaigns.window_from_hour is not null
                then send_windows.opens_at
            when campaigns.campaign_id is not null then {{ as_of() }}
        end as send_after,
        candidates.triggered_at
        + to_hours(campaigns.expires_after_hours) as send_before,
        campaign_caps.caps
    from candidates
    left join campaigns on candidates.campaign_id = campaigns.campaign_id
    left join campaign_caps
        on candidates.campaign_id = campaign_caps.campaign_id
    left join users on candidates.user_id = users.user_id
    left join candidate_windows
        on candidates.message_id = candidate_windows.message_id
    left join send_windows
        on candidate_windows.window_id = send_windows.window_id
    left join assignments on candidates.message_id = assignments.message_id
    left join blocked on candidates.message_id = blocked.message_id
    left join arbitration on candidates.message_id = arbitration.message_id
)

select * from verdicts
