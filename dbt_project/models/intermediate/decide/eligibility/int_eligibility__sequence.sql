{# A step waits for earlier ones that are still to come, never for one that does
   not come: who gets value at once is never stalled. #}
with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

messages as (select * from {{ ref('stg_ledger__messages') }}),

users as (select * from {{ ref('int_users_enriched') }}),

steps as (
    select
        candidates.message_id,
        candidates.user_id,
        candidates.campaign_id,
        campaigns.sequence_name,
        campaigns.sequence_step,
        campaigns.sequence_wait_days,
        -- what is closed, or may have left, is not to come any more
        coalesce(messages.state, 'planned') not in (
            'sent', 'claimed', 'sending', 'unknown', 'cancelled', 'rejected'
        )
        and {{ as_of() }} <= candidates.triggered_at
        + to_hours(campaigns.expires_after_hours) as is_to_come
    from candidates
    inner join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join messages
        on candidates.message_id = messages.message_id
    where campaigns.sequence_name is not null
),

deliveries as (
    select
        messages.user_id,
        campaigns.sequence_name,
        campaigns.sequence_step,
        -- one that may have left, left now
        coalesce(messages.sent_as_of, {{ as_of() }}) as delivered_at
    from messages
    inner join campaigns
        on messages.campaign_id = campaigns.campaign_id
    where messages.state in ('sent', 'claimed', 'sending', 'unknown')
),

out_of_order as (
    select distinct steps.message_id
    from steps
    inner join steps as earlier
        on
            steps.user_id = earlier.user_id
            and steps.sequence_name = earlier.sequence_name
            and steps.sequence_step > earlier.sequence_step
    where earlier.is_to_come
),

latest_deliveries as (
    select
        steps.message_id,
        max(deliveries.delivered_at) as delivered_at
    from steps
    inner join deliveries
        on
            steps.user_id = deliveries.user_id
            and steps.sequence_name = deliveries.sequence_name
            and steps.sequence_step > deliveries.sequence_step
    group by 1
),

exits as (
    {% for campaign in campaign_policies() -%}
        {%- set sequence = fromjson(campaign.policy).get('sequence') or {} -%}
        {%- if sequence.get('exit_when') -%}
            select
                user_id,
                '{{ campaign.campaign_id }}' as campaign_id
            from users
            where {{ sequence.exit_when }}
            union all
        {% endif -%}
    {%- endfor -%}
    select
        cast(null as varchar) as user_id,
        cast(null as varchar) as campaign_id
    where false
),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.campaign_id is null then 'no_policy'
            when exits.user_id is not null then 'sequence_exit'
            when out_of_order.message_id is not null then 'sequence_order'
            when
                latest_deliveries.delivered_at
                > {{ as_of() }} - to_days(campaigns.sequence_wait_days)
                then 'sequence_wait'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join exits
        on
            candidates.user_id = exits.user_id
            and candidates.campaign_id = exits.campaign_id
    left join out_of_order
        on candidates.message_id = out_of_order.message_id
    left join latest_deliveries
        on candidates.message_id = latest_deliveries.message_id
)

select
    message_id,
    'sequence' as rule,
    reason is not null as is_blocked,
    coalesce(reason = 'sequence_exit', false) as is_permanent,
    reason
from judged
