-- Of what was sent, whatever had been decided: nobody who got marketing at this
-- tick has more of it within a day or a week than is allowed. Returns people.
with marketing_deliveries as (
    select
        deliveries.user_id,
        deliveries.sent_as_of
    from {{ ref('fct_deliveries') }} as deliveries
    inner join {{ ref('dim_campaigns') }} as campaigns
        on deliveries.campaign_id = campaigns.campaign_id
    where deliveries.is_sent and campaigns.is_marketing
)

select
    user_id,
    count(*) filter (
        where sent_as_of > {{ as_of() }} - to_hours(24)
    ) as n_messages_24h,
    count(*) as n_messages_7d
from marketing_deliveries
where sent_as_of > {{ as_of() }} - to_days(7)
group by 1
having
    max(sent_as_of) = {{ as_of() }}
    and (
        count(*) filter (where sent_as_of > {{ as_of() }} - to_hours(24))
        > {{ var('marketing_messages_per_24_hours', 1) }}
        or count(*) > {{ var('marketing_messages_per_7_days', 3) }}
    )
