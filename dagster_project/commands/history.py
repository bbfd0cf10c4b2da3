"""`postrider campaigns history`: which versions of a campaign's policy ticks decided by, and what changed from one to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dagster_project.home import Home
from dagster_project.ledger import Ledger
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.policy_versions import PolicyVersion, by_reference, changes, parts, policy_hash


def history(home: Home, campaign_id: str) -> dict[str, Any]:
    """Its versions in order, each with its diff to the one before; `next` is what the project holds where no tick has decided by
    that yet. InputError for a campaign that neither the project nor the ledger knows."""
    with home.ledger() as ledger:
        versions = [one for one in ledger.policy_history(home.pack.name) if one.campaign_id == campaign_id]
        present = home.policy_documents()
        if not versions and campaign_id not in present:
            raise InputError(f"{campaign_id}: unknown campaign; allowed are {', '.join(sorted(present))}")
        texts = [parts(one.document, _kept(ledger, one.document)) for one in versions]
    told = [_told(one, before, text) for one, before, text in zip(versions, [{}, *texts], texts, strict=False)]
    return {
        "campaign_id": campaign_id,
        "source_pack": home.pack.name,
        "versions": told,
        "next": _next(home, campaign_id, versions, texts),
    }


def _told(version: PolicyVersion, before: Mapping[str, list[str]], text: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "version": version.version,
        "policy_hash": version.policy_hash,
        "valid_from": f"{version.valid_from.isoformat()}Z",
        "valid_to": f"{version.valid_to.isoformat()}Z" if version.valid_to else None,
        "changes": changes(before, text) if before else [],
    }


def _next(
    home: Home, campaign_id: str, versions: Sequence[PolicyVersion], texts: Sequence[Mapping[str, list[str]]]
) -> dict[str, Any] | None:
    """What the next tick will decide by, where that is not what the last one did."""
    present = home.policy_documents().get(campaign_id)
    in_force = versions[-1] if versions and versions[-1].valid_to is None else None
    if present == (in_force.document if in_force else None):
        return None
    before = texts[-1] if texts else {}
    after = parts(present, by_reference(home.template_files())) if present else {}
    return {
        "policy_hash": policy_hash(present) if present else None,
        "changes": changes(before, after) if before else [],
    }


def _kept(ledger: Ledger, document: bytes) -> dict[str, dict[str, str]]:
    """The templates' files that a version refers to, from the ledger."""
    said = json.loads(document)
    return {
        reference: {
            file: ledger.artifact(digest).decode() for file, digest in json.loads(ledger.artifact(reference)).items()
        }
        for reference in said["templates"].values()
    }
