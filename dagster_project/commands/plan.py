"""`postrider run --plan`: what a tick would ask a language model, and what that would cost. Nothing is asked."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from dagster_project.adapters.model_prices import dollars
from dagster_project.adapters.writer import SEED, expected_tokens, load_prompt
from dagster_project.commands.replaying import replaying
from dagster_project.home import Home
from dagster_project.lifecycle.drafting import call_key, writer_requests
from dagster_project.lifecycle.planning import planned_messages


def plan(home: Home, as_of: datetime | None) -> dict[str, Any]:
    """Per assisted campaign of the tick at `as_of`: messages to draft, their patterns, those whose answer is known, and the calls.

    Decided by the models' own SQL in a scratch warehouse; the home is left as it was. A pattern that the guards would refuse
    takes a second call, which nobody can know before.
    """
    at, patterns = as_of or home.default_as_of(), home.patterns
    with replaying(home, at, []) as (replay, _), replay.tick(at):
        replay.advance()
        replay.decide(0)
        messages = planned_messages(replay.fresh_drafts(0))
    key_of, requests = writer_requests(messages, home.policies, home.templates.get, patterns)
    requests = home.informing(at)(requests)
    prompt = load_prompt(home.settings.project / "templates" / "prompts")
    settings = {"model": home.settings.model, "temperature": 0, "seed": SEED}
    keys = {name: call_key(request, prompt, settings) for name, request in requests.items()}
    with home.ledger() as ledger:
        known = ledger.answers(list(keys.values()))
    asked = {name: request for name, request in requests.items() if keys[name] not in known}
    tokens = {name: expected_tokens(request, prompt) for name, request in asked.items()}
    tokens_in, tokens_out = (sum(each[way] for each in tokens.values()) for way in (0, 1))
    cost = dollars(home.settings.model, tokens_in, tokens_out)
    people = Counter(message.campaign_id for message in messages if message.message_id in key_of)
    return {
        "as_of": f"{at.isoformat()}Z",
        "is_set": home.writer is not None,
        "model": home.settings.model,
        "campaigns": {
            name: {
                "messages": count,
                "patterns": sum(request.campaign_id == name for request in requests.values()),
                "known": sum(request.campaign_id == name and keys[key] in known for key, request in requests.items()),
                "calls": sum(request.campaign_id == name for request in asked.values()),
            }
            for name, count in sorted(people.items())
        },
        "calls": len(asked),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "dollars": None if cost is None else float(cost),
        "most_calls": home.settings.model_calls_per_run,
    }
