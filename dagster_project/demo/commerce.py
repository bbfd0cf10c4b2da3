"""What the accounts pay: trials, plans, invoices, and the `subscriptions` and `accounts` that follow from them."""

from __future__ import annotations

# An account starts on a trial or free, may try later, may buy during a trial (days 5 to 14), may move up a plan, may
# cancel.
PATHS = """
create temp table paths as
with tried as (
    select
        *,
        case
            when account_num = 0 then null
            when draw('trial at once', account_num) < 0.75 then created_at + to_seconds(120)
            when draw('trial later', account_num) < 0.6
                then in_office(
                    later(created_at, 10 + 200 * draw('trial wait', account_num)), 'tries', account_num, offset_seconds)
        end as wanted_trial_at,
        case
            when account_num = 0 then 'business'
            when size <= 3 then if(draw('plan', account_num) < 0.7, 'starter', 'team')
            when size <= 9 then if(draw('plan', account_num) < 0.75, 'team', 'starter')
            else if(draw('plan', account_num) < 0.6, 'business', 'team')
        end as last_plan
    from account_births
),
bought as (
    select
        * exclude (wanted_trial_at),
        case when wanted_trial_at <= getvariable('ends_at') then wanted_trial_at end as trial_at,
        case when account_num = 0 then created_at
            when draw('buys', account_num) < 0.48 then in_office(
                later(wanted_trial_at, 13.4 - 8 * power(draw('buys when', account_num), 2)), 'buys', account_num,
                    offset_seconds)
        end as wanted_paid_at,
        case when draw('moves up', account_num) < 0.2 and account_num > 0 and last_plan != 'starter'
            then if(last_plan = 'business', 'team', 'starter') else last_plan end as first_plan
    from tried
)
select
    * exclude (wanted_paid_at),
    later(trial_at, 14) as trial_ends_at,
    case when wanted_paid_at <= getvariable('ends_at') then wanted_paid_at end as paid_at,
    case when first_plan != last_plan
        then later(wanted_paid_at, 20 + 300 * draw('moves up when', account_num)) end as moved_up_at,
    case when account_num > 0 then later(wanted_paid_at, draw_exponential('cancels', account_num, 900)) end
        as cancelled_at,
    -- Seats: most have a fifth to spare, rounded up to five; seven in a hundred are full or one over.
    case
        when size >= 2 and draw('full', account_num) < 0.07
            then size - if(size > 3 and draw('over', account_num) < 0.4, 1, 0)
        when size <= 2 then if(paid_at is null, 3, 5)
        else ceil((size * 1.2 + 1) / 5)::bigint * 5
    end as seats
from bought;

-- Invoices: on the 28th for a third of the payers, every 30 days for the others. One in seven fails at first, and most
-- of those are paid within ten days.
create temp table invoices as
with dated as (
    select account_num, k, cancelled_at, case
        when k = 0 then paid_at
        when draw('calendar billing', account_num) < 0.35
            then date_trunc('month', paid_at) + to_months(k::int)
                + to_seconds(27 * 86400 + 5 * 3600 + account_num % 7200)
        else later(paid_at, 30 * k)
    end as due_at
    from paths, lateral (
        select unnest(range(1 + ceil(days_between(paid_at, getvariable('ends_at')) / 30)::bigint)) as k
    )
    where paid_at is not null and account_num > 0
),
tried as (
    select
        *,
        k > 0 and draw('fails', account_num * 1000 + k) < 0.14 as has_failed,
        case when draw('recovers', account_num * 1000 + k) < 0.88
            then later(due_at, 0.5 + 9 * draw('recovers when', account_num * 1000 + k)) end as recovered_at
    from dated
    where due_at <= getvariable('ends_at') and due_at < cancelled_at
),
judged as (
    select
        account_num, k, due_at, has_failed, case when has_failed then recovered_at end as recovered_at,
        min(due_at) filter (where has_failed and recovered_at is null) over (partition by account_num) as lost_at
    from tried
)
select * from judged where due_at <= coalesce(lost_at, due_at);

-- What ends the path: the customer cancels, or a payment stays unpaid for two weeks.
create temp table commerce as
with losses as (select account_num, min(lost_at) as lost_at from invoices group by account_num)
select
    paths.* exclude (cancelled_at), lost_at,
    case when least(cancelled_at, later(lost_at, 14)) <= getvariable('ends_at')
        then least(cancelled_at, later(lost_at, 14)) end as ended_at
from paths
left join losses using (account_num)
"""

# One row per change of plan or payment state.
SUBSCRIPTIONS = """
create temp table subscription_changes as
with changes as (
    select account_num, 0 as ordinal, created_at as changed_at, 'free' as status, null as trial_ends_at from commerce
    where account_num > 0 and (trial_at is null or trial_at > created_at + to_seconds(120))
    union all
    select account_num, 1, trial_at, 'trialing', trial_ends_at from commerce where trial_at is not null
    union all
    select account_num, 2, trial_ends_at, if(draw('trial lost', account_num) < 0.15, 'cancelled', 'free'), null
        from commerce
    where trial_ends_at <= getvariable('ends_at') and paid_at is null
    union all
    select account_num, 3, paid_at, 'active', null from commerce where paid_at is not null
    union all
    select account_num, 4, moved_up_at, 'active', null from commerce
    where moved_up_at < least(getvariable('ends_at'), coalesce(lost_at, ended_at, getvariable('ends_at')))
    union all
    select account_num, 5, due_at, 'past_due', null from invoices where has_failed
    union all
    select invoices.account_num, 6, recovered_at, 'active', null from invoices
    inner join commerce using (account_num)
    where recovered_at <= least(getvariable('ends_at'), coalesce(ended_at, getvariable('ends_at')))
    union all
    select account_num, 7, ended_at, 'cancelled', null from commerce where ended_at is not null
),
planned as (
    select
        changes.*, seats,
        case when status in ('free', 'cancelled') then 'free'
            when moved_up_at <= changed_at then last_plan else first_plan end as plan
    from changes
    inner join commerce using (account_num)
)
select
    account_num, ordinal, plan, status,
    case when status in ('active', 'past_due')
        then seats * (map {'starter': 12.0, 'team': 19.0, 'business': 32.0})[plan] else 0 end::decimal(12, 2) as mrr,
    trial_ends_at, changed_at
from planned
"""

ACCOUNT_FILE = """
select
    account_key(account_num) as account_id,
    case when account_num = 0 then 'Ledgerline'
        else chosen('first word', account_num, firsts) || ' ' || chosen('second word', account_num, seconds) end
            as name,
    latest.plan, seats, latest.mrr,
    if(account_num = 0, 'software', chosen('industry', account_num, industries)) as industry,
    case when size = 1 then '1' when size <= 5 then '2-10' when size <= 15 then '11-50' when size <= 40 then '51-200'
        else '201-1000' end as company_size,
    country, user_key(first_num) as owner_user_id,
    case when account_num > 20 and draw('has parent', account_num) < 0.02
        then account_key(1 + floor(draw('parent', account_num) * 20)::int) end as parent_account_id,
    created_at
from commerce
cross join company_words
inner join (
    select
        account_num, max_by(plan, (changed_at, ordinal)) as plan, max_by(mrr, (changed_at, ordinal)) as mrr
    from subscription_changes
    group by account_num
) as latest using (account_num)
order by account_num
"""

SUBSCRIPTION_FILE = """
select account_key(account_num) as account_id, plan, status, mrr, trial_ends_at, changed_at
from subscription_changes
order by changed_at, account_num, ordinal
"""
