"""`postrider explain --campaign C --summary`: where people fall out of a campaign, everybody counted once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dagster_project.commands.moment import TRIGGER, at_moment
from dagster_project.home import Home
from dagster_project.lifecycle.explanation import named_conditions


def funnel(home: Home, campaign_id: str, as_of: datetime | None) -> dict[str, Any]:
    """People by the first condition that they fail, in the order of `conditions`; those who meet all of them by the rule
    that blocks, then by verdict. The counts add up to `population`, everybody who had signed up.

    Whoever a trigger considers more than once counts by what came closest, as in `explain`. InputError as there.
    """
    with at_moment(home, as_of) as moment:
        moment.check_campaign(campaign_id)
        trigger = f"{TRIGGER}{campaign_id}"
        names = named_conditions(trigger, moment.queries[trigger])
        slices = moment.slices
        first_failed = " ".join(f"when not coalesce({name}, false) then '{name}'" for name in names)
        met = " + ".join(f"cast(coalesce({name}, false) as integer)" for name in names)
        rows = slices.query(f"""
            with decided as (
                select
                    verdicts.*,
                    case
                        when verdicts.reason = 'lost_arbitration' then 'arbitration'
                        else judged.rule
                    end as rule
                from {slices.table("int_verdicts")} as verdicts
                left join {slices.table("int_eligibility_unioned")} as judged
                    on verdicts.message_id = judged.message_id and judged.is_blocked and verdicts.reason = judged.reason
                left join {slices.table("eligibility_rules")} as rules on judged.rule = rules.rule
                where verdicts.campaign_id = '{campaign_id}'
                qualify row_number() over (partition by verdicts.message_id order by rules.precedence) = 1
            ),

            considered as (
                select
                    conditions.user_id,
                    case {first_failed} end as first_failed,
                    decided.rule,
                    decided.verdict,
                    decided.reason
                from {slices.table(f"{trigger}/conditions")} as conditions
                left join decided
                    on conditions.user_id = decided.user_id and conditions.occurrence_key = decided.occurrence_key
                qualify row_number() over (
                    partition by conditions.user_id
                    order by (decided.user_id is not null) desc, {met} desc, conditions.occurrence_key desc
                ) = 1
            )

            select
                considered.user_id is not null as is_considered,
                considered.first_failed,
                considered.rule,
                considered.verdict,
                considered.reason,
                count(*) as people
            from {slices.table("stg_users")} as people
            left join considered on people.user_id = considered.user_id
            group by 1, 2, 3, 4, 5
            order by people desc, considered.reason
        """)
        precedence = {row["rule"]: row["precedence"] for row in slices.rows("eligibility_rules")}
        is_live = campaign_id in moment.roster
        as_of = moment.as_of
    population = sum(row["people"] for row in rows)
    left = population - sum(row["people"] for row in rows if not row["is_considered"])
    steps = [{"condition": None, "failed": population - left, "left": left}]
    for name in names:
        failed = sum(row["people"] for row in rows if row["first_failed"] == name)
        left -= failed
        steps.append({"condition": name, "failed": failed, "left": left})
    qualified = [row for row in rows if row["is_considered"] and row["first_failed"] is None]
    last = len(precedence) + 1000
    decided = [
        {
            "rule": row["rule"],
            "verdict": row["verdict"] or ("not_decided" if is_live else "not_live"),
            "reason": row["reason"] or "qualified by the trigger as it reads now",
            "people": row["people"],
        }
        for row in sorted(qualified, key=lambda row: (row["verdict"] == "send", precedence.get(row["rule"], last)))
    ]
    return {
        "campaign_id": campaign_id,
        "as_of": f"{as_of.isoformat()}Z",
        "population": population,
        "conditions": steps,
        "qualified": left,
        "decided": decided,
    }
