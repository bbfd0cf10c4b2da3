"""`postrider explain`: why somebody did or didn't get a message, condition by condition and rule by rule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dagster_project.adapters.decisions import decisions_of, rules_of
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import campaign_answer, conditions_query, named_conditions

TRIGGERS = "path:models/intermediate/score/triggers"


def explain(home: Home, user_id: str, campaign_id: str | None, as_of: datetime | None) -> dict[str, Any]:
    """Every campaign (or one) for one person: conditions, rules, verdict, and the message if there is one.

    At the last tick's time the tables of that tick answer. At any other time the models are built again, as of
    that time, in a scratch warehouse over the same landed rows. InputError for an unknown user or campaign.
    """
    with home.ledger() as ledger:
        tick = ledger.last_tick(home.pack.name)
        if tick is None:
            raise InputError(f"{home.path}: no tick of pack {home.pack.name} yet; `postrider run` makes one")
        messages = {message.campaign_id: message for message in ledger.messages(user_id=user_id)}
        stories = {name: ledger.story(message.message_id) for name, message in messages.items()}
    as_of = as_of or tick.as_of
    with home.as_of(as_of, built_at=tick.as_of) as then:
        if not then.warehouse.rows("select 1 from stg_users where user_id = ?", [user_id]):
            raise InputError(f"--user {user_id}: unknown at {as_of}; allowed is a user_id of stg_users")
        triggers = {
            name.split("__", 1)[1]: sql for name, sql in sorted(then.models.compiled([TRIGGERS], as_of).items())
        }
        if campaign_id is not None and campaign_id not in triggers:
            raise InputError(f"--campaign {campaign_id}: unknown; allowed are {', '.join(triggers)}")
        decisions = {row["campaign_id"]: row for row in decisions_of(then.warehouse, user_id)}
        return {
            "user_id": user_id,
            "as_of": f"{as_of.isoformat()}Z",
            "campaigns": [
                _campaign(then, name, sql, user_id, decisions.get(name), stories.get(name))
                for name, sql in triggers.items()
                if campaign_id in (None, name)
            ],
        }


def _campaign(
    then: Home,
    campaign_id: str,
    sql: str,
    user_id: str,
    decision: Mapping[str, Any] | None,
    message: Mapping[str, Any] | None,
) -> dict[str, Any]:
    model = f"int_triggers__{campaign_id}"
    considered = then.warehouse.rows(conditions_query(model, sql), [user_id])
    return campaign_answer(
        campaign_id,
        named_conditions(model, sql),
        considered[0] if considered else None,
        rules_of(then.warehouse, decision["message_id"]) if decision else [],
        decision,
        message,
    )
