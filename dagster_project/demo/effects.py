"""What a message really does in the demo company: the part of the truth that nobody in the warehouse can see.

`effects.parquet` has, for every person and marketing campaign, by how much one message raises the chance that the campaign's KPI
follows, and what that is worth. It is made of habits: whether the person would have gone there anyway, how deep they use the
product, when they leave, what their account will pay; and of a receptiveness that shows in nothing else. No policy reads it, and the
`value` of a campaign was written without it.
"""

from __future__ import annotations

# One person in twelve is put off by mail: each message lowers their chance. Whoever would do it anyway gains next to nothing. A worth is
# in dollars: the price of the account's seats as it will be paid, for as long as the person stays, two years at most; an account
# that never buys is worth a fifth of that, for its word of mouth. `fatigue_share` is what each message of the last fortnight leaves of
# the effect of the next one; a harm is not less for it.
EFFECT_FILE = """
with traits as (
    select
        user_num, habits.account_num, position, step_2, value_at, left_at, return_day, depth,
        least(intensity, 1) as intensity,
        size, seats, paid_at, moved_up_at,
        2 * draw('receptive', user_num) as receptive,
        draw('put off by mail', user_num) < 0.08 as is_put_off,
        0.55 + 0.4 * draw('patience', user_num) as fatigue_share,
        (map {'starter': 12.0, 'team': 19.0, 'business': 32.0})[coalesce(first_plan, 'starter')]
            * if(paid_at is null, 0.2, 1) as seat_price,
        least(life_days / 30, 24) as months,
        coalesce(left_at <= getvariable('ends_at'), false) as has_left
    from habits
    inner join commerce using (account_num)
    where not is_bot and not is_internal
),
effects as (
    select user_num, is_put_off, fatigue_share, unnest([
        {'campaign_id': 'welcome',
            'effect': if(step_2 is null, 0.09, 0.01) * receptive, 'worth': 0.15 * seat_price * months},
        {'campaign_id': 'setup_stalled',
            'effect': if(value_at is null, 0.06, 0.015) * receptive, 'worth': 0.6 * seat_price * 12},
        {'campaign_id': 'first_value',
            'effect': 0.05 * (1 - intensity) * receptive, 'worth': 0.2 * seat_price * months},
        {'campaign_id': 'feature_next',
            'effect': 0.25 / depth * receptive, 'worth': 0.1 * seat_price * months},
        {'campaign_id': 'invite_teammates',
            'effect': 0.06 * intensity * receptive, 'worth': 12 * seat_price},
        {'campaign_id': 'trial_ending',
            'effect': if(paid_at is null, 0.03, 0.005) * receptive, 'worth': 12 * 15.0 * least(size, 40)},
        {'campaign_id': 'usage_limit',
            'effect': if(moved_up_at is null, 0.02, 0.04) * receptive, 'worth': 0.25 * 12 * seat_price * seats},
        {'campaign_id': 'churn_risk',
            'effect': if(has_left and return_day is null, 0.05, 0.005) * receptive, 'worth': 12 * seat_price * intensity},
        {'campaign_id': 'winback',
            'effect': if(has_left and return_day is null, 0.03, 0.005) * receptive, 'worth': 9 * seat_price * intensity}
    ], recursive := true)
    from traits
)
select
    user_key(user_num) as user_id, campaign_id,
    round(if(is_put_off, -0.3 * effect - 0.002, effect), 4) as effect,
    round(worth, 2) as worth,
    round(fatigue_share, 2) as fatigue_share
from effects
order by user_num, campaign_id
"""
