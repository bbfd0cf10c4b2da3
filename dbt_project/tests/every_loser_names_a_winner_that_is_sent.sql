-- Losing to a message that is not sent would mean that nobody is mailed and
-- that the reason is wrong. Returns losers without such a winner.
with verdicts as (select * from {{ ref('int_verdicts') }})

select
    losers.message_id,
    losers.winner_message_id,
    winners.verdict
from verdicts as losers
left join verdicts as winners
    on losers.winner_message_id = winners.message_id
where
    losers.verdict = 'lose'
    and (
        coalesce(winners.verdict, '') <> 'send'
        or winners.user_id <> losers.user_id
    )
