"""Where two sides of a build decide otherwise: one row per candidate that is not the same on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dagster_project.adapters.building import Builds

VERDICTS = "int_verdicts"
# The time is the same by construction; the policy's hash changes for everybody when a comment does.
_NOT_COMPARED = frozenset({"message_id", "campaign_id", "user_id", "as_of", "policy_hash"})
CHANGED = "changed "  # before the name of a compared column


def differences(builds: Builds, base: str, head: str) -> list[dict[str, Any]]:
    """One row per candidate that differs, in order of campaign, user and message: verdict, reason and winner's campaign of each
    side (null where it is no candidate), whether its person is in the campaign's audience there, and `changed <column>`."""
    known = builds.columns(base)[VERDICTS]
    columns = [name for name in builds.columns(head)[VERDICTS] if name in known and name not in _NOT_COMPARED]
    compared = ",\n".join(f'base.{name} is distinct from head.{name} as "{CHANGED}{name}"' for name in columns)
    return builds.rows(f"""
        with base_people as (select distinct campaign_id, user_id from {base}.{VERDICTS}),

        head_people as (select distinct campaign_id, user_id from {head}.{VERDICTS}),

        pairs as (
            select
                coalesce(head.campaign_id, base.campaign_id) as campaign_id,
                coalesce(head.user_id, base.user_id) as user_id,
                coalesce(head.message_id, base.message_id) as message_id,
                base.verdict as base_verdict,
                base.reason as base_reason,
                base_winners.campaign_id as base_winner,
                head.verdict as head_verdict,
                head.reason as head_reason,
                head_winners.campaign_id as head_winner,
                {compared}
            from {base}.{VERDICTS} as base
            full join {head}.{VERDICTS} as head on base.message_id = head.message_id
            left join {base}.{VERDICTS} as base_winners on base.winner_message_id = base_winners.message_id
            left join {head}.{VERDICTS} as head_winners on head.winner_message_id = head_winners.message_id
        )

        select
            pairs.*,
            base_people.user_id is not null as is_in_base,
            head_people.user_id is not null as is_in_head
        from pairs
        left join base_people
            on pairs.campaign_id = base_people.campaign_id and pairs.user_id = base_people.user_id
        left join head_people
            on pairs.campaign_id = head_people.campaign_id and pairs.user_id = head_people.user_id
        where base_verdict is null or head_verdict is null
            or {" or ".join(f'"{CHANGED}{name}"' for name in columns)}
        order by pairs.campaign_id, pairs.user_id, pairs.message_id
    """)


def audiences(builds: Builds, side: str) -> dict[str, dict[str, int]]:
    """campaign -> `people` who are candidates and `sends`, of one side."""
    return {
        row.pop("campaign_id"): row
        for row in builds.rows(f"""
            select
                campaign_id,
                count(distinct user_id) as people,
                count(*) filter (where verdict = 'send') as sends
            from {side}.{VERDICTS}
            group by 1
        """)
    }


def candidates(builds: Builds, side: str, message_ids: list[str]) -> dict[str, dict[str, Any]]:
    """message_id -> its row of one side, for those that are candidates there."""
    rows = builds.rows(f"select * from {side}.{VERDICTS} where list_contains(?, message_id)", [message_ids])
    return {row["message_id"]: row for row in rows}


def common_candidates(builds: Builds, base: str, head: str, campaign_id: str, limit: int) -> list[str]:
    """message_ids of a campaign's candidates of both sides, those that are sent first."""
    rows = builds.rows(
        f"""
        select head.message_id from {head}.{VERDICTS} as head
        inner join {base}.{VERDICTS} as base on head.message_id = base.message_id
        where head.campaign_id = ?
        order by head.verdict <> 'send', head.message_id
        limit {limit}
        """,
        [campaign_id],
    )
    return [row["message_id"] for row in rows]


def candidates_of(builds: Builds, sides: Sequence[str], campaign_id: str, people: Sequence[str]) -> list[str]:
    """message_ids of these people's occasions of a campaign on any of the sides."""
    union = " union ".join(f"select message_id, campaign_id, user_id from {side}.{VERDICTS}" for side in sides)
    rows = builds.rows(
        f"select distinct message_id from ({union}) where campaign_id = ? and list_contains(?, user_id) order by 1",
        [campaign_id, list(people)],
    )
    return [row["message_id"] for row in rows]
