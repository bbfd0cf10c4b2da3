{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        pre_hook="{{ take_back_decisions() }}"
    )
}}
with verdicts as (select * from {{ ref('int_verdicts') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

candidate_values as (select * from {{ ref('int_candidate_values') }}),

valued as (
    select
        verdicts.*,
        coalesce(campaigns.is_marketing, false) as is_marketing,
        candidate_values.expected_value
    from verdicts
    left join campaigns
        on verdicts.campaign_id = campaigns.campaign_id
    left join candidate_values
        on verdicts.message_id = candidate_values.message_id
),

-- what a place for another message of the same person would push out
sent as (
    select
        user_id,
        max(expected_value) as expected_value
    from valued
    where is_marketing and verdict = 'send'
    group by 1
),

-- no other rule holds them back: with one place more they would be sent
held_back as (
    select
        valued.message_id,
        valued.expected_value,
        sent.expected_value as sent_value,
        case
            when valued.reason = 'over_quota'
                then 'over_quota:' || valued.campaign_id
            else valued.reason
        end as cap,
        case
            when valued.reason = 'over_quota' then 'campaign'
            when valued.reason = 'over_run_quota' then 'run'
            when valued.reason in ('account_crowded', 'account_capped')
                then 'account'
            else 'person'
        end as shared_by,
        case
            when valued.reason = 'over_quota' then valued.campaign_id
            when valued.reason = 'over_run_quota' then ''
            when valued.reason in ('account_crowded', 'account_capped')
                then valued.account_id
            else valued.user_id
        end as holder
    from valued
    left join sent
        on valued.user_id = sent.user_id and valued.reason <> 'lost_arbitration'
    where
        valued.is_marketing
        and valued.reasons_all = '["' || valued.reason || '"]'
        and valued.reason in (
            'lost_arbitration', 'frequency_capped', 'account_capped',
            'channel_capped', 'message_type_capped', 'account_crowded',
            'over_quota', 'over_run_quota'
        )
),

gains as (
    select
        cap,
        shared_by,
        holder,
        count(*) as candidates,
        -- nobody has to use a place
        greatest(max(expected_value - coalesce(sent_value, 0)), 0) as best_gain,
        count(expected_value) as valued_candidates
    from held_back
    group by 1, 2, 3
),

prices as (
    select
        '{{ var("source_pack") }}' as source_pack,
        {{ as_of() }} as as_of,
        cap,
        shared_by,
        cast(sum(candidates) as bigint) as candidates,
        count(*) as holders,
        -- rounded: the order in which threads add up must not be seen
        round(avg(best_gain) filter (where valued_candidates > 0), 4) as price,
        round(max(best_gain) filter (where valued_candidates > 0), 4)
            as highest_price,
        '{{ var("run_id") }}' as run_id
    from gains
    group by 3, 4
)

select * from prices
