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

messages as (select * from {{ ref('stg_ledger__messages') }}),

model_versions as (select * from {{ ref('int_model_versions') }}),

latest_decisions as (
    {% if is_incremental() -%}
        select * from {{ this }}
        where source_pack = '{{ var("source_pack") }}' and as_of < {{ as_of() }}
        qualify
            row_number() over (partition by message_id order by as_of desc) = 1
    {%- else -%}
        -- no history: nothing has changed yet, nothing can have vanished
        select * from verdicts
        where false
    {%- endif %}
),

changed as (
    select verdicts.*
    from verdicts
    left join latest_decisions as latest
        on verdicts.message_id = latest.message_id
    where
        latest.message_id is null
        or (
            (latest.verdict, latest.reason)
            <> (verdicts.verdict, verdicts.reason)
            -- Held out is held out, until a message is sent all the same: that
            -- night falls is no news of a message that was never to leave.
            and (latest.verdict <> 'holdout' or verdicts.verdict = 'send')
        )
),

vanished as (
    select
        latest.* replace (
            'suppress' as verdict,
            'no_longer_qualified' as reason,
            '["no_longer_qualified"]' as reasons_all,
            1 as propensity,
            cast(null as varchar) as winner_message_id
        )
    from latest_decisions as latest
    left join verdicts on latest.message_id = verdicts.message_id
    left join messages on latest.message_id = messages.message_id
    where
        verdicts.message_id is null
        and latest.verdict in ('hold', 'lose', 'send')
        -- what has left, or may have left, is beyond recall
        and coalesce(messages.state, 'planned') in (
            'planned', 'drafted', 'in_review', 'approved', 'claimed', 'deferred'
        )
),

news as (
    select * from changed
    union all by name
    select * from vanished
),

decisions as (
    select
        {{ surrogate_key(['message_id', as_of(), 'verdict', 'reason']) }}
            as decision_id,
        '{{ var("source_pack") }}' as source_pack,
        message_id,
        campaign_id,
        user_id,
        account_id,
        occurrence_key,
        triggered_at,
        {{ as_of() }} as as_of,
        verdict,
        reason,
        reasons_all,
        channel,
        variant,
        arm,
        cast(propensity as double) as propensity,
        send_after,
        send_before,
        facts,
        policy_hash,
        winner_message_id,
        (select scores.model_versions from model_versions as scores)
            as model_versions,
        '{{ var("run_id") }}' as run_id
    from news
)

select * from decisions
