"""The files about people: users, consents, tickets, and the truth that is never landed."""

from __future__ import annotations

from dagster_project.demo import words

# Addresses are unique by the person's number and lie under names reserved for examples. Three in a thousand are
# broken, as a form without a check would have let them in.
USER_FILE = """
with addressed as (
    select
        people.*, shown[name_num] as shown_name, ascii[name_num] as ascii_name,
        case
            when account_num = 0 then 'ledgerline.example'
            when size = 1 and draw('freelance', account_num) < 0.3
                then ['example.com', 'example.net', 'example.org'][1 + account_num % 3]
            else lower(chosen('first word', account_num, firsts) || chosen('second word', account_num, seconds))
                || '-' || account_num || '.example'
        end as domain
    from people
    inner join (select account_num, size from commerce) as sizes using (account_num)
    inner join names on names.language = people.language
    cross join company_words
)
select
    user_key(user_num) as user_id,
    account_key(account_num) as account_id,
    case
        when is_bot then 'bot+' || user_num || '@' || domain
        when is_internal then ascii_name || '.' || user_num || '@' || domain
        when draw('address', user_num) < 0.0010 then null
        when draw('address', user_num) < 0.0014 then ascii_name || '.' || user_num || '.' || domain
        when draw('address', user_num) < 0.0018 then ascii_name || '.' || user_num || '@@' || domain
        when draw('address', user_num) < 0.0021 then ascii_name || ' ' || user_num || '@' || domain
        when draw('address', user_num) < 0.0024 then '@' || user_num || '.' || domain
        when draw('address', user_num) < 0.03
            then upper(ascii_name[1]) || ascii_name[2:] || '.' || user_num || '@' || domain
        when draw('address', user_num) < 0.05 then ascii_name || '.' || user_num || '+reports@' || domain
        else ascii_name || '.' || user_num || '@' || domain
    end as email,
    case when draw('no name', user_num) < 0.008 then null when draw('no name', user_num) < 0.010 then ''
        else shown_name end
        as first_name,
    locale, timezone, role, created_at, is_internal
from addressed
order by user_num
"""

# Consent is asked at sign-up per message type; some say no, some withdraw later, a few of those come back. A tenth of
# the people were also asked about account messages.
CONSENT_FILE = """
with asked as (
    select user_num, created_at, message_type, granted_share, withdrawn_share, user_num * 8 + ordinal as ask
    from people
    cross join (values
        ('product_tips', 1, 0.90, 0.08), ('product_news', 2, 0.82, 0.12), ('account', 3, 0.10, 0.01)
    ) as types(message_type, ordinal, granted_share, withdrawn_share)
),
answered as (
    select
        *,
        case when draw('withdraws', ask) < withdrawn_share then later(
            created_at, 0.01 + days_between(created_at, getvariable('ends_at')) * draw('withdraws when', ask)) end
                as withdrawn_at
    from asked
    where draw('consents', ask) < granted_share
),
changes as (
    select user_num, message_type, 'granted' as status, 'signup_form' as source, created_at as recorded_at from answered
    union all
    select user_num, message_type, 'withdrawn', chosen('how withdrawn', ask, ['preference_center', 'unsubscribe_link',
        'support']),
        withdrawn_at
    from answered
    union all
    select user_num, message_type, 'granted', 'preference_center', later(withdrawn_at, 1 + 60 * draw('regrants when',
        ask))
    from answered
    where draw('regrants', ask) < 0.06
)
select
    user_key(user_num) as user_id, 'email' as channel, message_type, status, source,
    case when recorded_at < timestamp '2025-01-15' then 'consent-2024-01' else 'consent-2025-01' end
        as text_version, recorded_at
from changes
where recorded_at <= getvariable('ends_at')
order by recorded_at, user_num, message_type, status
"""

TICKET_FILE = f"""
with opened as (
    select
        user_num * 4 + n as ticket_num, user_num,
        later(created_at, 0.1 + days_between(created_at, least(left_at, getvariable('ends_at')))
            * draw('ticket when', user_num * 4 + n)) as opened_at
    from habits
    cross join range(2) as listed(n)
    where draw('ticket', user_num * 4 + n) < 0.05 and not is_bot
),
handled as (
    select *, later(opened_at, case when draw('never closed', ticket_num) < 0.03 then 5000.0
        else 0.08 + draw_exponential('closed', ticket_num, 2.5) end) as closes_at
    from opened
    where opened_at <= getvariable('ends_at')
)
select
    't_' || lpad(ticket_num::varchar, 8, '0') as ticket_id, user_key(user_num) as user_id,
    chosen('subject', ticket_num, {words.TICKET_SUBJECTS}) as subject,
    case when closes_at <= getvariable('ends_at') then 'closed' else 'open' end as status,
    opened_at, case when closes_at <= getvariable('ends_at') then closes_at end as closed_at
from handled
order by opened_at, ticket_num
"""

TRUTH_FILE = """
select
    user_key(user_num) as user_id, intensity, depth,
    coalesce(value_at <= getvariable('ends_at'), false) as has_reached_value,
    case when left_at <= getvariable('ends_at') then left_at::date end as left_on, is_bot, zone as true_timezone
from habits
inner join zones using (zone_id)
order by user_num
"""
