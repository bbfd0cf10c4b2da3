"""`postrider explain`: why somebody did or didn't get a message, condition by condition and rule by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dagster_project.commands.moment import RULE, TRIGGER, Moment, at_moment
from dagster_project.home import Home
from dagster_project.ledger.rows import Message
from dagster_project.lifecycle.cutting import PERSON, Demand
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import campaign_answer, named_conditions
from dagster_project.lifecycle.people import PERSON_ID
from dagster_project.lifecycle.reading import Probe, Prober, told

_WORTH = ("value", "recent_messages", "fatigue_share", "attention_cost", "expected_value")
_PLACED = ("is_planned", "priority", "triggered_at")
_PERSON = ("account_id", "timezone", "timezone_source", "created_at")


def explain(home: Home, user_id: str, campaign_id: str | None, as_of: datetime | None) -> dict[str, Any]:
    """Every campaign (or one) for one person: conditions and rules with what they read, verdict, and the message if any.

    At the last tick's time the tables of that tick answer. At any other time the models' own SQL is run for this person,
    over the landed rows and the ledger as it stands. InputError for an unknown user or campaign, or a time before the data.
    """
    with at_moment(home, as_of) as moment:
        moment.check_campaign(campaign_id)
        person = _person(moment, user_id)
        answers = _answers(moment, user_id, [campaign_id] if campaign_id else moment.campaigns)
        as_of, tick = moment.as_of, moment.tick
    with home.ledger() as ledger:
        messages = ledger.messages(user_id=user_id, source_pack=home.pack.name)
        for answer in answers:
            message = _message(messages, answer["campaign_id"], answer["decision"], as_of)
            answer["message"] = ledger.story(message.message_id) if message else None
    return {
        "user_id": user_id,
        "as_of": f"{as_of.isoformat()}Z",
        "last_tick": f"{tick.as_of.isoformat()}Z",
        "person": person,
        "campaigns": answers,
    }


def _person(moment: Moment, user_id: str) -> dict[str, Any]:
    """Who is asked about, and what time it is where they are; InputError when nobody is there by this id."""
    people = moment.slices.rows("int_users_enriched", _only(user_id))
    if not people:
        raise InputError(
            f"--user {user_id}: nobody by this id at {moment.as_of.isoformat()}Z; allowed is a user_id of stg_users,"
            " from the day they signed up"
        )
    person = {name: people[0].get(name) for name in _PERSON}
    local = None
    if person["timezone"] is not None:
        asked = "select timezone(?, timezone('UTC', cast(? as timestamp)))"
        ((local,),) = moment.slices.connection.execute(asked, [person["timezone"], moment.as_of]).fetchall()
    return person | {"local_time": local}


def _answers(moment: Moment, user_id: str, campaigns: Sequence[str]) -> list[dict[str, Any]]:
    prober = Prober(moment.slices.selects, moment.as_of)
    names, probes = {}, {}
    for campaign in campaigns:
        model = f"{TRIGGER}{campaign}"
        names[campaign] = named_conditions(model, moment.queries[model])
        probes[campaign] = prober.probe(f"{model}/conditions", *names[campaign])
    decisions = {
        row["campaign_id"]: row
        for row in sorted(moment.slices.rows("int_verdicts", _only(user_id)), key=_when)
        if row[PERSON_ID] == user_id
    }
    judging = _judging(moment, prober) if any(campaign in decisions for campaign in campaigns) else {}
    moment.slices.prepare(_only(user_id), [probe for probe in (*probes.values(), *judging.values()) if probe])
    rules = _rules(moment, judging, user_id) if judging else {}
    contests = _contests(moment, prober, user_id) if rules else {}
    answers = []
    for campaign in campaigns:
        decision, probe = decisions.get(campaign), probes[campaign]
        node = probe.node if probe else f"{TRIGGER}{campaign}/conditions"
        answers.append(
            campaign_answer(
                campaign,
                names[campaign],
                moment.slices.rows(node, _only(user_id), probe.trace if probe else frozenset()),
                rules.get(decision["message_id"], []) if decision else [],
                decision,
                probe,
                moment.as_of,
                is_on_roster=campaign in moment.roster,
            )
            | {"contest": contests.get(decision["message_id"], []) if decision else [], "message": None}
        )
    return answers


def _only(user_id: str) -> Demand:
    return frozenset({(PERSON_ID, frozenset({user_id}))})


def _rows_of(user_id: str) -> Demand:
    return frozenset({(PERSON, frozenset({user_id}))})


def _when(decision: Mapping[str, Any]) -> tuple[datetime, str]:
    return decision["triggered_at"], decision["message_id"]


def _judging(moment: Moment, prober: Prober) -> dict[str, Probe | None]:
    """By rule, a probe of what its reason is made of."""
    found: dict[str, Probe | None] = {}
    for model in moment.rules:
        origin = prober.origin(model, "reason")
        found[model.removeprefix(RULE)] = prober.probe(*origin, is_rule=True) if origin else None
    return found


def _rules(moment: Moment, judging: Mapping[str, Probe | None], user_id: str) -> dict[str, list[dict[str, Any]]]:
    """By message: what each rule said, in order of precedence, and what it read to say so."""
    numbers: dict[tuple[str, str], dict[str, Any]] = {}
    for rule, probe in judging.items():
        for row in moment.slices.rows(probe.node, _rows_of(user_id), probe.trace) if probe else ():
            if probe and "message_id" in row:
                (reading,) = probe.readings.values()
                numbers[row["message_id"], rule] = told(reading, row, moment.as_of)
    listed = {row["rule"]: row for row in moment.slices.rows("eligibility_rules")}
    found: dict[str, list[dict[str, Any]]] = {}
    untold = {"sql": None, "checks": [], "reads": []}
    judged = moment.slices.rows("int_eligibility_unioned", _rows_of(user_id))
    for row in sorted(judged, key=lambda row: listed[row["rule"]]["precedence"]):
        words = {name: row[name] for name in ("rule", "is_blocked", "reason")} | {
            "sentence": listed[row["rule"]]["sentence"]
        }
        found.setdefault(row["message_id"], []).append(words | numbers.get((row["message_id"], row["rule"]), untold))
    return found


def _contests(moment: Moment, prober: Prober, user_id: str) -> dict[str, list[dict[str, Any]]]:
    """By message: everybody it competed with, the winner first, with what the order was made by."""
    contest = prober.contest("int_arbitration", "message_id")
    if contest is None:
        return {}
    rows = moment.slices.rows(contest.node, _rows_of(user_id))
    worth = {row["message_id"]: row for row in moment.slices.rows("int_candidate_values", _only(user_id))}
    places = {row["message_id"]: row for row in moment.slices.rows("int_contenders", _rows_of(user_id))}
    campaigns = {row["message_id"]: row["campaign_id"] for row in moment.slices.rows("int_verdicts", _only(user_id))}

    def place_of(row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: places[row["message_id"]][name] for name in _PLACED}

    found = {}
    for row in rows:
        rivals = [other for other in rows if other[contest.group] == row[contest.group]]
        found[row["message_id"]] = [
            {"message_id": other["message_id"], "campaign_id": campaigns.get(other["message_id"])}
            | {"by": place_of(other) | {name: other[column] for name, column in contest.order}}
            | {"worth": {name: worth[other["message_id"]][name] for name in _WORTH}}
            for other in sorted(rivals, key=lambda other: other[contest.position])
        ]
    return found


def _message(
    messages: Sequence[Message], campaign_id: str, decision: Mapping[str, Any] | None, as_of: datetime
) -> Message | None:
    """The candidate's own message, else the campaign's newest to this person; what was planned later isn't there yet."""
    there = [one for one in messages if one.campaign_id == campaign_id and one.planned_as_of <= as_of]
    own = [one for one in there if decision and one.message_id == decision["message_id"]]
    return max(own or there, key=lambda one: (one.planned_as_of, one.message_id), default=None)
