"""`postrider run --plan`: what a tick would ask a language model, and what that would cost. Nothing is asked."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from dagster_project.adapters.model_chain import settings_of
from dagster_project.adapters.model_prices import dollars
from dagster_project.commands.replaying import replaying
from dagster_project.home import Home
from dagster_project.lifecycle.drafting import Model, written_texts
from dagster_project.lifecycle.expecting import NOT_ASKED, Expected, Rehearsal
from dagster_project.lifecycle.planning import planned_messages


def plan(home: Home, as_of: datetime | None) -> dict[str, Any]:
    """Per campaign of the tick at `as_of` that a model has a part in: messages to draft, their patterns, those whose text is known,
    and the calls of all roles.

    Decided by the models' own SQL in a scratch warehouse; the home is left as it was. A text that somebody objects to takes up to
    three calls more, which nobody can know before.
    """
    at, patterns = as_of or home.default_as_of(), home.writing.patterns
    with replaying(home, at, []) as (replay, _), replay.tick(at):
        replay.advance()
        replay.decide(0)
        messages = planned_messages(replay.fresh_drafts(0))
    with home.ledger() as ledger:
        per_call = home.settings.model_texts_per_call
        rehearsal = Rehearsal(ledger.answers, home.writing.prompts, settings_of(home.writing.model_names), per_call)
        canary = home.writing.canary_asked(
            rehearsal.ask,
            lambda names, prompts: (
                Rehearsal(ledger.answers, prompts, settings_of(names), per_call, rehearsal.missing).ask
            ),
            ledger,
        )
        model = Model(rehearsal.ask, home.writing.classes, home.writing.informing(at), patterns, canary)
        key_of, outcome = written_texts(messages, home.policies, home.templates.get, home.phrases, model)
    people = Counter(message.campaign_id for message in messages if message.message_id in key_of)
    pattern_of = {key_of[one.message_id]: one.campaign_id for one in messages if one.message_id in key_of}
    missing = rehearsal.missing
    most = sum(missing.values(), Expected())
    name = home.writing.model_names[0]
    cost = dollars(name, most.tokens_in, most.tokens_out)
    budgets = {name: home.policies[name].model_budget for name in people}
    return {
        "as_of": f"{at.isoformat()}Z",
        "is_set": home.writing.has_model,
        "model": home.settings.model,
        "campaigns": {
            name: {
                "messages": count,
                "patterns": sum(one == name for one in pattern_of.values()),
                "known": sum(
                    one == name and NOT_ASKED not in (outcome.results[key].failure or "")
                    for key, one in pattern_of.items()
                ),
                "calls": missing[name].calls,
                "tokens": missing[name].tokens_in + missing[name].tokens_out,
                "budget": budget.model_dump() if (budget := budgets[name]) else None,
            }
            for name, count in sorted(people.items())
        },
        "calls": most.calls,
        "tokens_in": most.tokens_in,
        "tokens_out": most.tokens_out,
        "dollars": None if cost is None else float(cost),
        "most_calls": home.settings.model_calls_per_run,
    }
