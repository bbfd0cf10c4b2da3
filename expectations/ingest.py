"""The gate after ingest: is this the source we know, and is it of today?"""

from __future__ import annotations

from datetime import datetime

from expectations.defaults import GATE_KEYS, OPTIONAL_GATE_KEYS, Given
from expectations.expectation import Builtin, Expectation, GateError, Rows, Suite
from expectations.sql import filled, is_address, later, moment, name, share


def suite(given: Given) -> Suite:
    """Users and events as they were landed. What was received after `as_of` belongs to later ticks and is ignored."""
    missing = [key for key in GATE_KEYS if key not in OPTIONAL_GATE_KEYS and not given.gate.get(key)]
    if missing or given.read_at is None:
        raise GateError(f"gate ingest: parameter {', '.join(missing) or 'read_at'} is missing")
    return Suite("ingest", (*_users(given), *_events(given, given.read_at)))


def _users(given: Given) -> list[Expectation]:
    users = f"raw.{given.gate['users']}"
    key = filled(name(str(given.gate["user_key"])))
    expectations: list[Expectation] = [
        Builtin(
            name="users_not_empty",
            sentence="The source has at least one user.",
            batch=users,
            kind="ExpectTableRowCountToBeBetween",
            arguments={"min_value": 1},
        ),
        Rows(
            name="user_key_filled",
            sentence="Every user has an id.",
            batch=users,
            violations=f"""
                with numbered as (select 'row ' || row_number() over () as example, {key} as user_key from batch)
                select example from numbered where user_key is null
            """,
            population="select count(*) from batch",
        ),
        Rows(
            name="user_key_unique",
            sentence="Every user is in the source exactly once.",
            batch=users,
            violations=f"select {key} as example from batch where {key} is not null group by 1 having count(*) > 1",
            population="select count(*) from batch",
        ),
    ]
    if given.gate.get("user_email"):
        email = filled(name(str(given.gate["user_email"])))
        expectations.append(
            Rows(
                name="addresses_plausible",
                sentence=f"At least {share(given.min_valid_address_share)} of the users have a plausible address.",
                batch=users,
                violations=f"select {key} as example from batch where not coalesce({is_address(email)}, false)",
                population="select count(*) from batch",
                mostly=given.min_valid_address_share,
            )
        )
    return expectations


def _events(given: Given, read_at: datetime) -> list[Expectation]:
    events, users = f"raw.{given.gate['events']}", f"raw.{given.gate['users']}"
    user_key = filled(name(str(given.gate["user_key"])))
    occurred = name(str(given.gate["event_occurred_at"]))
    received = name(given.gate.get("event_received_at") or str(given.gate["event_occurred_at"]))
    # Each event once, with its times as times: a pack may land text.
    seen = f"""
        with seen as (
            select
                {filled(name(str(given.gate["event_user_key"])))} as user_key,
                try_cast({occurred} as timestamp) as occurred_at,
                try_cast({received} as timestamp) as received_at,
                coalesce(user_key, '?') || ' at ' || coalesce({occurred}::varchar, '?') as example
            from batch
        )
    """
    now, soon = moment(given.as_of), later(given.as_of, given.skew_minutes)
    after_reading = later(read_at, given.skew_minutes)
    hours = f"{given.freshness_hours:g}"
    newest = f"{seen} select max(received_at) from seen where received_at <= {now}"
    return [
        Rows(
            name="events_not_empty",
            sentence="The source has events up to the time of the tick.",
            batch=events,
            violations=f"{seen} select 'none' as example where not exists (from seen where received_at <= {now})",
            observed=f"{seen} select format('{{:,}} events', count(*)) from seen where received_at <= {now}",
        ),
        Rows(
            name="events_fresh",
            sentence=f"The newest event is younger than {hours} hours.",
            batch=events,
            violations=f"""
                select strftime(newest, '%Y-%m-%d %H:%M') as example from ({newest}) as found(newest)
                where newest < {now} - to_seconds({given.freshness_hours * 3600})
            """,
            observed=f"""
                select
                    coalesce(format('newest {{}}, {{:.1f}} h before the tick', strftime(newest, '%Y-%m-%d %H:%M'),
                        date_diff('second', newest, {now}) / 3600), 'no event')
                from ({newest}) as found(newest)
            """,
        ),
        Rows(
            name="events_happened_before_received",
            sentence="No event was received before it happened.",
            batch=events,
            violations=f"""
                {seen} select example from seen
                where received_at <= {now} and occurred_at <= {soon}
                    and occurred_at > received_at + to_seconds({given.skew_minutes * 60})
            """,
        ),
        Rows(
            name="events_not_after_tick",
            sentence="No event that is known at the time of the tick happens after it.",
            batch=events,
            violations=f"{seen} select example from seen where received_at <= {now} and occurred_at > {soon}",
        ),
        Rows(
            name="events_not_after_reading",
            sentence="No event is dated later than the moment when the source was read.",
            batch=events,
            violations=f"""
                {seen} select example from seen
                where received_at > {after_reading} or (received_at > {now} and occurred_at > {after_reading})
            """,
        ),
        Rows(
            name="events_well_formed",
            sentence=f"At most {share(given.max_malformed_share)} of the events lack a user or a time.",
            batch=events,
            violations=f"""
                {seen} select example from seen
                where coalesce(received_at <= {now}, true)
                    and (user_key is null or occurred_at is null or received_at is null)
            """,
            population=f"{seen} select count(*) from seen where coalesce(received_at <= {now}, true)",
            mostly=1 - given.max_malformed_share,
        ),
        Rows(
            name="events_of_known_users",
            sentence=f"At least {share(given.min_known_user_share)} of the events belong to known users.",
            batch=events,
            violations=f"""
                {seen} select example from seen
                where received_at <= {now} and user_key is not null and exists (from {users})
                    and user_key not in (select {user_key} from {users} where {user_key} is not null)
            """,
            population=f"{seen} select count(*) from seen where received_at <= {now} and user_key is not null",
            mostly=given.min_known_user_share,
        ),
    ]
