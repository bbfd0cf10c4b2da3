"""`postrider campaigns`, `pause`, `resume`, `kill`."""

from __future__ import annotations

from typing import Any

from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError


def campaigns(home: Home) -> dict[str, Any]:
    """One entry per campaign: its policy in brief, whether it is live, and its audience at the last tick."""
    with home.ledger() as ledger:
        controls = ledger.controls()
        audience = ledger.last_audience(home.pack.name)
    paused = {control.campaign_id for control in controls if control.name == "pause"}
    killed = any(control.name == "kill" for control in controls)
    return {
        "killed": killed,
        "campaigns": [
            {
                "campaign_id": name,
                "title": policy.title,
                "use_case": policy.use_case,
                "owner": policy.owner,
                "mode": policy.mode,
                "review": policy.review,
                "state": "killed" if killed else "paused" if name in paused else "live",
                "candidates": audience.get(name, (0, 0))[0],
                "sends": audience.get(name, (0, 0))[1],
            }
            for name, policy in sorted(home.policies.items(), key=lambda item: (item[1].use_case, item[0]))
        ],
    }


def pause(home: Home, campaign_id: str, actor: str, reason: str) -> dict[str, Any]:
    """Pause one campaign; takes effect before the next message leaves."""
    _known(home, campaign_id)
    with home.ledger() as ledger:
        changed = ledger.pause(campaign_id, actor, reason)
    return {
        "campaign_id": campaign_id,
        "changed": changed,
        "said": f"{campaign_id} {'is' if changed else 'was already'} paused",
    }


def resume(home: Home, campaign_id: str | None, actor: str, reason: str) -> dict[str, Any]:
    """Lift a pause, or the kill switch when no campaign is named."""
    if campaign_id is not None:
        _known(home, campaign_id)
    with home.ledger() as ledger:
        changed = ledger.resume(campaign_id, actor, reason)
    what = campaign_id or "the kill switch"
    done = "lifted" if campaign_id is None else "resumed"
    return {
        "campaign_id": campaign_id,
        "changed": changed,
        "said": f"{what} {'is' if changed else 'was not in force, so not'} {done}",
    }


def kill(home: Home, actor: str, reason: str) -> dict[str, Any]:
    """Stop all sending until `resume`."""
    with home.ledger() as ledger:
        changed = ledger.kill(actor, reason)
    return {"changed": changed, "said": "all sending is stopped" if changed else "all sending was stopped already"}


def _known(home: Home, campaign_id: str) -> None:
    if campaign_id not in home.policies:
        raise InputError(f"{campaign_id}: unknown campaign; allowed are {', '.join(sorted(home.policies))}")
