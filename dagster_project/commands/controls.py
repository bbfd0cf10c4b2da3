"""`postrider campaigns`, `pause`, `resume`, `kill`."""

from __future__ import annotations

from typing import Any

from dagster_project.adapters.clock import utc_text
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError


def campaigns(home: Home) -> dict[str, Any]:
    """One entry per campaign: its policy in brief, whether it is live, and its audience at the last tick.

    `state` is live, paused, killed, or off for a trigger that is not on the roster; `controls` says who and why.
    """
    with home.ledger() as ledger:
        controls = ledger.controls()
        audience = ledger.last_audience(home.pack.name)
    on_roster = roster(home)
    paused = {control.campaign_id for control in controls if control.name == "pause"}
    killed = any(control.name == "kill" for control in controls)

    def state(campaign_id: str) -> str:
        if campaign_id not in on_roster:
            return "off"
        return "killed" if killed else "paused" if campaign_id in paused else "live"

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
                "state": state(name),
                "candidates": audience.get(name, (0, 0))[0],
                "sends": audience.get(name, (0, 0))[1],
            }
            for name, policy in sorted(home.policies.items(), key=lambda item: (item[1].use_case, item[0]))
        ],
        "controls": [
            {
                "name": control.name,
                "campaign_id": control.campaign_id,
                "actor": control.actor,
                "reason": control.reason,
                "set_at": utc_text(control.set_at),
            }
            for control in controls
        ],
    }


def roster(home: Home) -> set[str]:
    """Campaigns whose trigger the roster reads: those that are live unless a control says no."""
    (parents,) = [
        node["depends_on"]["nodes"]
        for node in home.models.manifest["nodes"].values()
        if node["resource_type"] == "model" and node["name"] == "int_candidates_unioned"
    ]
    return {name.rpartition("int_triggers__")[2] for name in parents if "int_triggers__" in name}


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
