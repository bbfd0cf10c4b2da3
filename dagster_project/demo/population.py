"""Who is there: accounts and users with their latent habits. Statements run in order, in DuckDB.

Randomness is a hash of (seed, salt, key): `draw(salt, key)` is uniform in [0, 1) and independent between salts, so any
row can be computed alone, on any thread. It is not DuckDB's `hash(seed, salt, key)`, which combines its arguments so
weakly that the draws of two salts are correlated (-0.6 was measured); mixing the key first and hashing again is not.
"""

from __future__ import annotations

from dagster_project.demo import words

MACROS = """
create temp macro mix(salt, k) as
    hash(xor(hash(k::ubigint), hash(getvariable('seed')::varchar || ':' || salt)));
create temp macro draw(salt, k) as (mix(salt, k) >> 11)::double / 9007199254740992.0;
create temp macro draw_exponential(salt, k, mean) as -ln(1 - draw(salt, k)) * mean;
create temp macro chosen(salt, k, items) as items[1 + floor(draw(salt, k) * len(items))::int];
-- The minute of the local day on which office work happens: 08:00 to 18:00, most around 13:00.
create temp macro office_minute(salt, k) as
    480 + floor((draw(salt, k) + draw(salt || ' more', k)) * 300)::int;
create temp macro later(moment, days) as moment + to_seconds(floor(days * 86400)::bigint);
create temp macro days_between(earlier, at_last) as epoch_us(at_last - earlier) / 86400e6;
-- A moment on the day of `moment`, in office hours of a zone that is `offset_seconds` ahead of UTC.
create temp macro in_office(moment, salt, k, offset_seconds) as
    moment::date::timestamp + to_seconds(office_minute(salt, k) * 60 + floor(draw(salt || ' second', k) * 60)::int
        - offset_seconds);
create temp macro user_key(n) as 'u_' || lpad(n::varchar, 7, '0');
create temp macro account_key(n) as 'a_' || lpad(n::varchar, 7, '0')
"""

# One row per zone and day. `weight` is how much of a usual working day is worked: weekends (Friday and Saturday in
# Egypt and Saudi Arabia), a quiet August, and the days around New Year.
CALENDAR = """
create temp table zones as
select row_number() over (order by zone)::int as zone_id, zone, bool_or(country in ('EG', 'SA')) as rests_on_friday
from (select country, unnest(zones) as zone from countries)
group by zone;

create temp table calendar as
with days as (
    select day::date as day
    from range(getvariable('ends_at')::date - interval 1100 day, getvariable('ends_at')::date + interval 2 day,
        interval 1 day)
        as listed(day)
),
shaped as (
    select
        zone_id,
        day,
        (day - date '1970-01-01')::int as day_num,
        epoch(timezone('UTC', day::timestamp) - timezone(zone, day::timestamp + interval 12 hour))::bigint + 43200
            as offset_seconds,
        (isodow(day) + case when rests_on_friday then 1 else 0 end - 1) % 7 + 1 as working_day,
        1 - 0.18 * exp(-power((dayofyear(day) - 222) / 16.0, 2))
            - 0.45 * exp(-power(((dayofyear(day) + 180) % 365 - 178) / 6.0, 2)) as season
    from days
    cross join zones
)
select
    zone_id,
    day,
    day_num,
    offset_seconds,
    -- What would start on a day of rest starts on a working day before: by how many days at least.
    greatest(working_day - 5, 0) as rest_days,
    season * [1.0, 1.05, 1.03, 1.0, 0.85, 0.14, 0.11][working_day] as weight
from shaped
"""

# Sizes are skewed: four accounts in ten stay one person, one in a hundred grows to 25 to 100, over three months. More
# accounts are young than old, as in a company that doubles in seven months. Account 0 is Ledgerline itself.
ACCOUNTS = """
create temp table account_sizes as
with drawn as (
    select
        n + 1 as account_num, draw('size', n) as share, draw('size within', n) as within,
        -250 * ln(1 - 0.97 * draw('account age', n)) as days_old
    from range(getvariable('users') - getvariable('internal_users')) as listed(n)
),
sized as (
    select
        account_num, days_old,
        case
            when share < 0.40 then 1
            when share < 0.70 then 2 + floor(within * 3)
            when share < 0.91 then 5 + floor(within * 6)
            when share < 0.985 then 11 + floor(within * 14)
            else 25 + floor(within * 76)
        end as full_size
    from drawn
),
grown as (
    select account_num, days_old, (1 + floor((full_size - 1) * least(1, power((days_old + 3) / 90, 0.6))))::bigint
        as size
    from sized
),
placed as (
    select *, sum(size) over (order by account_num)::bigint - size + getvariable('internal_users') as first_num
    from grown
)
select account_num, first_num, least(size, getvariable('users') - first_num) as size, days_old
from placed
where first_num < getvariable('users')
union all
select 0, 0, getvariable('internal_users'), 950 where getvariable('internal_users') > 0;

create temp table country_slots as
select row_number() over (order by country, copy)::int - 1 as slot, country, zones
from (select country, zones, unnest(range(weight)) as copy from countries);

create temp table account_births as
with born as (
    select
        account_num,
        first_num,
        size,
        case when account_num = 0 then 'DE' else country end as country,
        case when account_num = 0 then 'Europe/Berlin' else chosen('account zone', account_num, zones) end as zone,
        later(getvariable('ends_at'), -days_old) as instant
    from account_sizes
    inner join country_slots on slot = floor(draw('country', account_num) * 100)::int
),
worked as (
    select born.*, zone_id, born.instant::date - if(
        rest_days > 0 and draw('rests', account_num) < 0.66, rest_days + floor(draw('works instead',
            account_num) * 5)::int, 0
    )::int as start_day
    from born
    inner join zones using (zone)
    inner join calendar using (zone_id)
    where calendar.day = born.instant::date
)
select
    account_num, first_num, size, country, zone_id, offset_seconds,
    least(
        in_office(start_day, 'account minute', account_num, offset_seconds),
        later(getvariable('ends_at'), -0.02 - draw('just now', account_num))
    ) as created_at
from worked
inner join calendar using (zone_id)
where calendar.day = start_day
"""

# People: where they are, what they are called, when they joined. The owner comes with the account; others join over its
# paying life, more of them early.
USERS = f"""
create temp table people as
with listed as (
    select
        account_num, size, first_num + position as user_num, position, country as account_country,
        zone_id as account_zone_id, created_at as account_created_at,
        coalesce(ended_at, getvariable('ends_at')) as account_ended_at
    from commerce, lateral (select unnest(range(size)) as position)
),
joined as (
    select
        *,
        -- exponential with a mean of 150 days, cut off at the account's age
        later(account_created_at, if(position = 0, 0.0, -150 * ln(1 - draw('join', user_num)
            * (1 - exp(-greatest(days_between(account_created_at, account_ended_at) - 0.05, 0) / 150))))) as instant,
        case
            when position = 0 or draw('abroad', user_num) < 0.88 then account_country
            else country_slots.country
        end as country
    from listed
    inner join country_slots on slot = floor(draw('country of user', user_num) * 100)::int
),
located as (
    select
        joined.*, countries.language, countries.locales,
        case when joined.country = account_country then account_zone_id else zones.zone_id end as zone_id
    from joined
    inner join countries on countries.country = joined.country
    inner join zones on zones.zone = countries.zones[1]
),
timed as (
    select
        located.*, offset_seconds,
        case
            when position = 0 then account_created_at
            else least(
                greatest(
                    in_office(instant::date - if(
                        rest_days > 0 and draw('rests too', user_num) < 0.66,
                        rest_days + floor(draw('works instead too', user_num) * 5)::int, 0
                    )::int, 'join minute', user_num, offset_seconds),
                    account_created_at + to_seconds(600 + 60 * position)
                ),
                greatest(account_ended_at - to_seconds(1200), account_created_at + to_seconds(600 + 60 * position))
            )
        end as created_at
    from located
    inner join calendar on calendar.zone_id = located.zone_id and calendar.day = located.instant::date
),
-- A machine behind an ordinary seat: in every block of 4,000 people the first to join an account that still lasts, and
-- one in any company of 200.
bots as (
    select min_by(user_num, (created_at, user_num)) as user_num
    from timed
    where position > 0 and account_num > 0 and account_ended_at = getvariable('ends_at') and getvariable('users') >= 200
    group by user_num // 4000
)
select
    user_num, account_num, position, zone_id, offset_seconds, created_at, account_ended_at, country, account_num = 0
        as is_internal,
    bots.user_num is not null as is_bot,
    case
        when position = 0 then 'owner'
        when draw('role', user_num) < 0.16 then 'admin'
        when draw('role', user_num) < 0.68 then 'member'
        else 'viewer'
    end as role,
    case
        when draw('locale', user_num) < 0.03 then null
        when draw('locale', user_num) < 0.08 then 'en'
        else chosen('which locale', user_num, locales)
    end as locale,
    case
        when draw('zone', user_num) < 0.04 then null
        when draw('zone', user_num) < 0.05 then chosen('bad zone', user_num, {words.BAD_ZONES})
        else zones.zone
    end as timezone,
    floor(draw('name', user_num) * len(names.shown))::int + 1 as name_num,
    timed.language
from timed
inner join zones using (zone_id)
inner join names on names.language = timed.language
left join bots using (user_num)
where created_at <= getvariable('ends_at')
"""
