"""`postrider explain`: why somebody did or didn't get a message, condition by condition and rule by rule."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dagster_project.adapters.decisions import decisions_of, rules_of
from dagster_project.commands.controls import roster
from dagster_project.home import Home
from dagster_project.ledger.rows import Message, TickRow
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import campaign_answer, conditions_query, named_conditions

TRIGGERS = "path:models/intermediate/score/triggers"


def explain(home: Home, user_id: str, campaign_id: str | None, as_of: datetime | None) -> dict[str, Any]:
    """Every campaign (or one) for one person: conditions, rules, verdict, and the message if there is one.

    At the last tick's time the tables of that tick answer. At any other time the models are built again, as of
    that time, in a scratch warehouse over the same landed rows and the ledger as it stands. InputError for an unknown
    user or campaign.
    """
    with home.ledger() as ledger:
        tick = ledger.last_tick(home.pack.name)
        if tick is None:
            raise InputError(f"{home.path}: no tick of pack {home.pack.name} yet; `postrider run` makes one")
        messages = ledger.messages(user_id=user_id, source_pack=home.pack.name)
    as_of = as_of or tick.as_of
    if campaign_id is not None and campaign_id not in home.policies:
        raise InputError(f"--campaign {campaign_id}: unknown; allowed are {', '.join(home.policies)}")
    on_roster = roster(home)
    with _built_for(home, as_of, tick) as then:
        if not then.warehouse.rows("select 1 from stg_users where user_id = ?", [user_id]):
            raise InputError(
                f"--user {user_id}: nobody by this id at {as_of.isoformat()}Z; allowed is a user_id of stg_users,"
                " from the day they signed up"
            )
        triggers = {
            name.split("__", 1)[1]: sql for name, sql in sorted(then.models.compiled([TRIGGERS], as_of).items())
        }
        decisions = {row["campaign_id"]: row for row in sorted(decisions_of(then.warehouse, user_id), key=_when)}
        campaigns = [
            _campaign(then, name, sql, user_id, decisions.get(name), on_roster)
            for name, sql in triggers.items()
            if campaign_id in (None, name)
        ]
    with home.ledger() as ledger:
        for campaign in campaigns:
            message = _message(messages, campaign["campaign_id"], decisions.get(campaign["campaign_id"]), as_of)
            campaign["message"] = ledger.story(message.message_id) if message else None
    return {
        "user_id": user_id,
        "as_of": f"{as_of.isoformat()}Z",
        "last_tick": f"{tick.as_of.isoformat()}Z",
        "campaigns": campaigns,
    }


def _when(decision: Mapping[str, Any]) -> tuple[datetime, str]:
    return decision["triggered_at"], decision["message_id"]


def _campaign(
    then: Home,
    campaign_id: str,
    sql: str,
    user_id: str,
    decision: Mapping[str, Any] | None,
    on_roster: Collection[str],
) -> dict[str, Any]:
    model = f"int_triggers__{campaign_id}"
    return campaign_answer(
        campaign_id,
        named_conditions(model, sql),
        then.warehouse.rows(conditions_query(model, sql), [user_id]),
        rules_of(then.warehouse, decision["message_id"]) if decision else [],
        decision,
        None,
        is_on_roster=campaign_id in on_roster,
    )


def _message(
    messages: Sequence[Message], campaign_id: str, decision: Mapping[str, Any] | None, as_of: datetime
) -> Message | None:
    """The candidate's own message, else the campaign's newest to this person; what was planned later isn't there yet."""
    there = [one for one in messages if one.campaign_id == campaign_id and one.planned_as_of <= as_of]
    own = [one for one in there if decision and one.message_id == decision["message_id"]]
    return max(own or there, key=lambda one: (one.planned_as_of, one.message_id), default=None)


@contextlib.contextmanager
def _built_for(home: Home, moment: datetime, tick: TickRow) -> Iterator[Home]:
    """This home if its models stand as of the moment, else a scratch copy in which they are built for it.

    Only a finished tick leaves models that agree with each other; the warehouse may also hold another pack's.
    """
    if tick.status == "done" and _built_at(home) == tick.as_of == moment:
        yield home
        return
    _refuse_other_rows(home)
    with tempfile.TemporaryDirectory(prefix="postrider-") as folder:
        scratch = Home(home.settings.model_copy(update={"home": Path(folder), "data": home.data}))
        home.warehouse.copy_landed(scratch.settings.warehouse_path)
        with home.ledger() as ledger:  # what the last tick itself did is history for every later moment
            scratch.warehouse.write(ledger.land(home.pack.name), schema="raw")
        scratch.models.adopt(home.models)
        scratch.models.rebuild(moment)
        yield scratch


def _built_at(home: Home) -> datetime | None:
    """The time of the candidates in the warehouse; None when there are none."""
    if not home.warehouse.counts(["int_verdicts"]).get("int_verdicts"):
        return None
    return home.warehouse.rows("select max(as_of) as as_of from int_verdicts")[0]["as_of"]


def _refuse_other_rows(home: Home) -> None:
    """InputError unless the landed rows have this pack's columns."""
    landed = home.warehouse.rows(
        "select table_name, column_name from information_schema.columns where table_schema = 'raw'"
    )
    there = {(row["table_name"], row["column_name"]) for row in landed}
    if any((table.name, column) not in there for table in home.pack.tables for column in table.columns):
        raise InputError(
            f"{home.warehouse.path}: holds no rows of pack {home.pack.name};"
            f" `postrider run --source {home.pack.name}` lands them again"
        )
