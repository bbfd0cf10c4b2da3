"""`postrider review`: what waits for a person, and that person's word."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, Literal

from dagster_project.home import Home
from dagster_project.ledger import Ledger
from dagster_project.ledger.rows import Message
from dagster_project.lifecycle.editing import edited
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Draft


def waiting(home: Home) -> dict[str, Any]:
    """One entry per draft in review."""
    with home.ledger() as ledger:
        drafts = ledger.drafts(states=("in_review",))
        why = {one.message_id: one.route_reason for one in ledger.reviews([one.message_id for one, _ in drafts])}
    return {
        "waiting": [
            {
                "message_id": message.message_id,
                "campaign_id": message.campaign_id,
                "user_id": message.user_id,
                "subject": draft.subject,
                "mode": draft.mode,
                "route_reason": why.get(message.message_id),
                "draft_hash": draft.draft_hash,
            }
            for message, draft in drafts
        ]
    }


def show(home: Home, message_id: str) -> dict[str, Any]:
    """One draft in full, with the facts it was made from and what has happened to it."""
    with home.ledger() as ledger:
        message, draft = _draft(ledger, message_id)
        story = ledger.story(message.message_id)
    return {
        "message_id": message.message_id,
        "state": message.state,
        "to": message.email,
        "route_reason": story["reviews"][-1]["route_reason"] if story["reviews"] else None,
        "draft": dataclasses.asdict(draft) | {"draft_hash": draft.draft_hash},
        "facts": message.facts,
        "story": story,
    }


def decide(
    home: Home, names: Sequence[str], verdict: Literal["approve", "reject"], reviewer: str, reason: str
) -> dict[str, Any]:
    """Approve or reject drafts, named one by one or by their campaign, each bound to its text as it stands now."""
    with home.ledger() as ledger:
        in_review = {message.message_id: (message, draft) for message, draft in ledger.drafts(states=("in_review",))}
        chosen: dict[str, str] = {}  # message → the hash that the word is bound to
        for name in names:
            of_campaign = [key for key, (message, _) in in_review.items() if message.campaign_id == name]
            for key in of_campaign or _beginning_with(name, in_review):
                chosen[key] = in_review[key][1].draft_hash
        for message_id, draft_hash in chosen.items():
            ledger.review(message_id, verdict, reviewer, reason, draft_hash)
    word = {"approve": "approved", "reject": "rejected"}[verdict]
    return {
        "verdict": word,
        "message_ids": list(chosen),
        "said": f"{len(chosen)} draft{'' if len(chosen) == 1 else 's'} {word} by {reviewer}",
    }


def edit(
    home: Home, message_id: str, editor: str, subject: str | None, replacements: Sequence[str], reason: str
) -> dict[str, Any]:
    """Change the words of one draft: a new hash, and any approval is void."""
    pairs: list[tuple[str, str]] = []
    for replacement in replacements:
        old, arrow, new = replacement.partition("=>")
        if not arrow or not old:
            raise InputError(f"--replace {replacement!r}: allowed is 'old words=>new words'")
        pairs.append((old, new))
    if subject is None and not pairs:
        raise InputError("nothing to change: allowed are --subject and --replace")
    with home.ledger() as ledger:
        message, draft = _draft(ledger, message_id)
        changed = edited(draft, subject, pairs, facts=message.facts, phrases=home.phrases)
        ledger.edit(changed, editor, reason)
    return {
        "message_id": message.message_id,
        "draft_hash": changed.draft_hash,
        "was": draft.draft_hash,
        "said": f"{message.message_id}: new text {changed.draft_hash[:12]}, waiting for review",
    }


def _draft(ledger: Ledger, name: str) -> tuple[Message, Draft]:
    """The draft of this message in any state, or of the one in review whose id begins so."""
    found = ledger.drafts(message_ids=[name], states=None)
    if not found:
        in_review = {message.message_id: (message, draft) for message, draft in ledger.drafts(states=("in_review",))}
        found = [in_review[key] for key in _beginning_with(name, in_review)]
    return found[0]


def _beginning_with(name: str, message_ids: Collection[str]) -> list[str]:
    """The one id that begins so; InputError for none and for several."""
    found = [message_id for message_id in message_ids if message_id.startswith(name)] if name else []
    if len(found) > 1 and name not in found:
        raise InputError(f"{name}: {len(found)} drafts in review begin so; allowed is a longer part of the id")
    if not found:
        raise InputError(f"{name}: no draft in review has this id or campaign; `postrider review list` shows them")
    return [name] if name in found else found
