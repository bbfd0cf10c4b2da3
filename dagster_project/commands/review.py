"""`postrider review`: what waits for a person, and that person's word."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from dagster_project.home import Home
from dagster_project.ledger import Ledger
from dagster_project.lifecycle.editing import edited
from dagster_project.lifecycle.errors import InputError


def waiting(home: Home) -> dict[str, Any]:
    """One entry per draft in review."""
    with home.ledger() as ledger:
        drafts = ledger.drafts(states=("in_review",))
    return {
        "waiting": [
            {
                "message_id": message.message_id,
                "campaign_id": message.campaign_id,
                "user_id": message.user_id,
                "subject": draft.subject,
                "mode": draft.mode,
                "draft_hash": draft.draft_hash,
            }
            for message, draft in drafts
        ]
    }


def show(home: Home, message_id: str) -> dict[str, Any]:
    """One draft in full, with the facts it was made from and what has happened to it."""
    with home.ledger() as ledger:
        ((message, draft),) = _drafts(ledger, [message_id])
        story = ledger.story(message_id)
    return {
        "message_id": message_id,
        "state": message.state,
        "to": message.email,
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
        chosen: list[str] = []
        for name in names:
            of_campaign = [key for key, (message, _) in in_review.items() if message.campaign_id == name]
            if name not in in_review and not of_campaign:
                raise InputError(
                    f"{name}: no draft in review has this id or campaign; `postrider review list` shows them"
                )
            chosen += [name] if name in in_review else of_campaign
        for message_id in chosen:
            ledger.review(message_id, verdict, reviewer, reason, in_review[message_id][1].draft_hash)
    word = {"approve": "approved", "reject": "rejected"}[verdict]
    return {"verdict": word, "message_ids": chosen, "said": f"{len(chosen)} draft(s) {word} by {reviewer}"}


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
        ((_, draft),) = _drafts(ledger, [message_id])
        changed = edited(draft, subject, pairs)
        ledger.edit(changed, editor, reason)
    return {
        "message_id": message_id,
        "draft_hash": changed.draft_hash,
        "was": draft.draft_hash,
        "said": f"{message_id}: new text {changed.draft_hash[:12]}, waiting for review",
    }


def _drafts(ledger: Ledger, message_ids: Sequence[str]) -> list[Any]:
    found = ledger.drafts(message_ids=message_ids, states=None)
    if not found:
        raise InputError(
            f"{message_ids[0]}: no such message with a draft; `postrider review list` shows those in review"
        )
    return found
