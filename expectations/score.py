"""The gate after score: is every candidate a real person with a reason?"""

from __future__ import annotations

from expectations.defaults import Given
from expectations.expectation import Builtin, Rows, Suite
from expectations.sql import later, share

CANDIDATES = "main.int_candidates_unioned"


def suite(given: Given) -> Suite:
    """Candidates: user, campaign and occurrence."""
    soon = later(given.as_of, given.skew_minutes)
    share_of_users = "count(distinct user_id) / nullif((select count(*) from main.int_users_enriched), 0)"
    return Suite(
        "score",
        (
            Builtin(
                name="candidates_unique",
                sentence="Nobody is a candidate twice for the same campaign and occasion.",
                batch=CANDIDATES,
                kind="ExpectColumnValuesToBeUnique",
                arguments={"column": "message_id"},
            ),
            Rows(
                name="not_triggered_after_tick",
                sentence="No candidate was triggered after the time of the tick.",
                batch=CANDIDATES,
                violations=f"select message_id as example from batch where triggered_at > {soon}",
                population="select count(*) from batch",
            ),
            Rows(
                name="candidates_known",
                sentence="Every candidate is a known user.",
                batch=CANDIDATES,
                violations="""
                    select coalesce(batch.user_id, batch.message_id) as example from batch
                    anti join main.int_users_enriched as users on batch.user_id = users.user_id
                """,
                population="select count(*) from batch",
            ),
            Rows(
                name="facts_are_objects",
                sentence="Every candidate comes with named facts.",
                batch=CANDIDATES,
                violations="""
                    select message_id as example from batch
                    where coalesce(case when json_valid(facts) then json_type(facts) end, 'none') <> 'OBJECT'
                """,
                population="select count(*) from batch",
            ),
            Rows(
                name="no_campaign_claims_everybody",
                sentence=f"No campaign claims more than {share(given.max_campaign_user_share)} of all users.",
                batch=CANDIDATES,
                severity="warning",
                violations=f"""
                    select campaign_id as example from batch group by 1
                    having count(distinct user_id) >= {given.audience_floor}
                        and {share_of_users} > {given.max_campaign_user_share}
                """,
                observed=f"""
                    select coalesce(
                        string_agg(
                            format('{{}} {{:.1f}} %', campaign_id, 100 * claimed),
                            ', ' order by claimed desc, campaign_id
                        ),
                        'no candidates'
                    )
                    from (
                        select campaign_id, {share_of_users} as claimed from batch
                        group by 1 order by claimed desc, campaign_id limit 3
                    )
                """,
                is_by_campaign=True,
            ),
        ),
        reads=("main.int_users_enriched",),
    )
