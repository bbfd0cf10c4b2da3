"""Reading decisions, and what was drafted on them, out of the warehouse."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dagster_project.adapters.warehouse import Warehouse

# The decision that stands is the last change of verdict; a candidate of this tick whose verdict did not change
# keeps the decision of an earlier tick.
CURRENT_VERDICTS = """
    with latest as (
        select message_id, decision_id
        from fct_decisions
        qualify row_number() over (partition by message_id order by as_of desc) = 1
    )

    select verdicts.*, latest.decision_id
    from int_verdicts as verdicts
    inner join latest on verdicts.message_id = latest.message_id
    where verdicts.as_of = ?
    order by verdicts.message_id
"""


def current_verdicts(warehouse: Warehouse, as_of: datetime) -> list[dict[str, Any]]:
    """One row per candidate of the tick at `as_of`, with the decision that stands."""
    return warehouse.rows(CURRENT_VERDICTS, [as_of])


def cap_prices(warehouse: Warehouse, source_pack: str, as_of: datetime) -> list[dict[str, Any]]:
    """One row per cap that held something back at the tick at `as_of`, the dearest place first."""
    return warehouse.rows(
        """
        select cap, shared_by, candidates, holders, price, highest_price
        from fct_cap_prices
        where source_pack = ? and as_of = ?
        order by price desc nulls last, cap
        """,
        [source_pack, as_of],
    )


def decisions_of(warehouse: Warehouse, user_id: str) -> list[dict[str, Any]]:
    """One row per candidate of this person at the tick that the warehouse was built for."""
    return warehouse.rows("select * from int_verdicts where user_id = ? order by campaign_id", [user_id])


def rules_of(warehouse: Warehouse, message_id: str) -> list[dict[str, Any]]:
    """One row per eligibility rule for this candidate, in order of precedence."""
    return warehouse.rows(
        """
        select judged.rule, judged.is_blocked, judged.is_permanent, judged.reason, rules.sentence
        from int_eligibility_unioned as judged
        inner join eligibility_rules as rules on judged.rule = rules.rule
        where judged.message_id = ?
        order by rules.precedence
        """,
        [message_id],
    )


def candidate_of(warehouse: Warehouse, campaign_id: str, user_id: str | None) -> dict[str, Any] | None:
    """One candidate of a campaign with its facts: this person, or whoever comes first."""
    rows = warehouse.rows(
        "select * from int_verdicts where campaign_id = ? and (? is null or user_id = ?) order by message_id limit 1",
        [campaign_id, user_id, user_id],
    )
    return rows[0] if rows else None


def drafted_messages(warehouse: Warehouse) -> list[str]:
    """message_ids of the drafts that the content gate judges."""
    return [row["message_id"] for row in warehouse.rows("select message_id from drafts where draft_hash is not null")]
