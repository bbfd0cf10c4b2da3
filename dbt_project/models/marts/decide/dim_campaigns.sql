{# One policy per trigger, read from its YAML. No field has a default here but
   the least time between two messages that no cap holds back. #}
{%- set uncapped_reentry_hours = var('uncapped_reentry_hours', 20) -%}
with policies as (
    {% for campaign in campaign_policies() -%}
        select
            '{{ campaign.campaign_id }}' as campaign_id,
            '{{ campaign.policy | replace("'", "''") }}' as policy,
            '{{ campaign.policy_hash }}' as policy_hash
        union all
    {% endfor -%}
    -- an empty roster is a table without rows, not an error
    select
        cast(null as varchar) as campaign_id,
        cast(null as varchar) as policy,
        cast(null as varchar) as policy_hash
    where false
),

campaigns as (
    select
        campaign_id,
        policy ->> '$.title' as title,
        policy ->> '$.use_case' as use_case,
        policy ->> '$.owner' as owner,
        policy ->> '$.kpi.event_kind' as kpi_event_kind,
        cast(policy ->> '$.kpi.horizon_days' as integer) as kpi_horizon_days,
        policy ->> '$.message_type' as message_type,
        policy ->> '$.legal_basis' as legal_basis,
        -- what a person is owed, or the law demands, is not marketing
        policy ->> '$.legal_basis' <> 'transactional'
        and policy ->> '$.message_type' <> 'legal' as is_marketing,
        policy ->> '$.channels[0]' as channel,
        policy ->> '$.mode' as mode,
        policy ->> '$.review' as review,
        cast(policy ->> '$.priority' as integer) as priority,
        policy ->> '$.required_facts' as required_facts,
        cast(policy ->> '$.caps.per_user.count' as integer) as cap_count,
        cast(policy ->> '$.caps.per_user.window_days' as integer)
            as cap_window_days,
        cast(policy ->> '$.quota_per_run' as integer) as quota_per_run,
        case
            when policy ->> '$.reentry.after_days' is not null
                then 'after_days'
            when policy ->> '$.reentry.after_hours' is not null
                then 'after_hours'
            else policy ->> '$.reentry'
        end as reentry_policy,
        cast(policy ->> '$.reentry.after_days' as integer) as reentry_days,
        coalesce(
            cast(policy ->> '$.reentry.after_hours' as integer),
            case
                when policy ->> '$.reentry' = 'each_occurrence' and not is_marketing
                    then {{ uncapped_reentry_hours }}
            end
        ) as reentry_hours,
        cast(policy ->> '$.send_window.from_hour' as integer)
            as window_from_hour,
        cast(policy ->> '$.send_window.to_hour' as integer) as window_to_hour,
        policy ->> '$.send_window.weekdays' as window_weekdays,
        cast(policy ->> '$.send_window.skip_holidays' as boolean)
            as window_skips_holidays,
        cast(policy ->> '$.send_window.best_hour' as boolean)
            as window_prefers_usual_hour,
        cast(policy ->> '$.expires_after_hours' as integer)
            as expires_after_hours,
        policy ->> '$.sequence.name' as sequence_name,
        cast(policy ->> '$.sequence.step' as integer) as sequence_step,
        cast(policy ->> '$.sequence.wait_days' as integer)
            as sequence_wait_days,
        policy ->> '$.sequence.exit_when' as sequence_exit_when,
        cast(policy ->> '$.holdout_share' as double) as holdout_share,
        policy ->> '$.variants' as variants,
        cast(policy ->> '$.rollout_percent' as integer) as rollout_percent,
        policy ->> '$.risk' as risk,
        policy ->> '$.on_unknown' as on_unknown,
        policy ->> '$.locales.fallback' as fallback_locale,
        policy,
        policy_hash
    from policies
)

select * from campaigns
