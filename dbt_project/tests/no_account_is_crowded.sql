-- Counted over people, apart from the rule that should have held them back: those
-- who get marketing at this tick with those who had some within 24 hours. What
-- waits to be sent is of people who keep their place. Returns crowded accounts.
with people as (
    select
        verdicts.account_id,
        verdicts.user_id
    from {{ ref('int_verdicts') }} as verdicts
    inner join {{ ref('dim_campaigns') }} as campaigns
        on verdicts.campaign_id = campaigns.campaign_id
    left join {{ ref('stg_ledger__messages') }} as messages
        on verdicts.message_id = messages.message_id
    where
        verdicts.verdict = 'send'
        and campaigns.is_marketing
        and messages.message_id is null
),

mailed_people as (
    select
        messages.account_id,
        messages.user_id
    from {{ ref('stg_ledger__messages') }} as messages
    inner join {{ ref('dim_campaigns') }} as campaigns
        on messages.campaign_id = campaigns.campaign_id
    where
        campaigns.is_marketing
        and messages.sent_as_of > {{ as_of() }} - to_hours(24)
)

select
    people.account_id,
    count(distinct people.user_id) as n_people,
    count(distinct mailed_people.user_id) as n_mailed
from people
left join mailed_people
    on
        people.account_id = mailed_people.account_id
        and people.user_id <> mailed_people.user_id
group by 1
having
    count(distinct people.user_id) + count(distinct mailed_people.user_id)
    > {{ var('people_per_account_per_day', 3) }}
