"""`postrider drafts canary`: a new prompt or model beside the standing ones, by what the ledger has of both."""

from __future__ import annotations

from typing import Any

from dagster_project.home import Home
from dagster_project.lifecycle.arms import compared
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.prompt_canary import FILE, Arm, version_of


def canary(home: Home) -> dict[str, Any]:
    """Each measure by arm with its interval, the difference, and how many more it takes; `stopped` says why it goes on no longer.

    InputError where nothing is on trial.
    """
    policy, of_canary = home.writing.canary, home.writing.canary_arm
    if policy is None or of_canary is None:
        raise InputError(f"drafts canary: found no {FILE}, allowed: one that says what is tried, on which share")
    names, prompts = of_canary
    version = version_of(Arm(lambda _: [], prompts, names))
    with home.ledger() as ledger:
        tried = [one for one in ledger.tried() if (one.trial["name"], one.trial["version"]) == (policy.name, version)]
        fates = ledger.canary_fates(policy.name, version)
    return {
        "name": policy.name,
        "version": version,
        "share": policy.share,
        "models": list(names),
        "prompts": dict(policy.prompts),
        "most": policy.most.model_dump(),
        "least_patterns": policy.least_patterns,
        "least_difference": policy.difference,
        "stopped": policy.stopped(fates),
        "clicked": None,  # the ledger records no clicks yet
        **compared(tried, policy.difference),
    }
