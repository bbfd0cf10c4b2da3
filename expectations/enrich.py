"""The gate after enrich: are the people whole, alive, and not from tomorrow?"""

from __future__ import annotations

from expectations.defaults import Given
from expectations.expectation import Builtin, Rows, Suite
from expectations.sql import later, moment, share

USERS = "main.int_users_enriched"


def suite(given: Given) -> Suite:
    """One row per person, with what is known at `as_of`."""
    now, soon = moment(given.as_of), later(given.as_of, given.skew_minutes)
    return Suite(
        "enrich",
        (
            Builtin(
                name="enriched_once",
                sentence="Every user is enriched once.",
                batch=USERS,
                kind="ExpectColumnValuesToBeUnique",
                arguments={"column": "user_id"},
            ),
            Rows(
                name="enriched_all",
                sentence="Every user of the source is enriched, and nobody else.",
                batch=USERS,
                violations="""
                    select coalesce(staged.user_id, batch.user_id, '?') as example
                    from main.stg_users as staged
                    full outer join batch on staged.user_id = batch.user_id
                    where staged.user_id is null or batch.user_id is null
                """,
                population="select count(*) from main.stg_users",
            ),
            Rows(
                name="somebody_active",
                sentence=f"Somebody has used the product in the last {given.active_days} days.",
                batch=USERS,
                violations=f"""
                    select 'nobody' as example
                    where not exists (
                        from batch where last_seen_at > {now} - to_days({given.active_days})
                    )
                """,
                observed=f"""
                    select format('{{:,}} of {{:,}} users',
                        count(*) filter (last_seen_at > {now} - to_days({given.active_days})), count(*))
                    from batch
                """,
            ),
            Rows(
                name="no_fact_from_the_future",
                sentence="Nothing that is known about a user has yet to happen.",
                batch=USERS,
                violations=f"""
                    select user_id as example from batch
                    where created_at > {soon} or last_seen_at > {soon} or activated_at > {soon}
                        or payment_failed_at > {soon}
                """,
                population="select count(*) from batch",
            ),
            Rows(
                name="zones_known",
                sentence=f"At most {share(given.max_no_zone_share)} of the users have no usable time zone.",
                batch=USERS,
                severity="warning",
                violations="select user_id as example from batch where timezone is null",
                population="select count(*) from batch",
                mostly=1 - given.max_no_zone_share,
            ),
        ),
        reads=("main.stg_users",),
    )
