"""`postrider preview`: a campaign's mail as files, for one candidate; or all of them with sample facts."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from dagster_project.adapters.contact_sheet import write_mails, write_sheets
from dagster_project.adapters.decisions import candidate_of
from dagster_project.adapters.inspecting import Inspectors, MissingToolError
from dagster_project.adapters.preview import find_chromium, write_preview
from dagster_project.commands.specimens import specimens
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.knowledge import read_consulted
from dagster_project.lifecycle.planning import planned_messages
from dagster_project.settings import PROJECT_ROOT


def preview(home: Home, campaign_id: str, user_id: str | None, variant: str, out: Path | None) -> dict[str, Any]:
    """Draft one candidate's mail without planning it, and write it as HTML, text and, with Chromium, PNG."""
    if campaign_id not in home.policies:
        raise InputError(f"{campaign_id}: unknown campaign; allowed are {', '.join(sorted(home.policies))}")
    row = candidate_of(home.warehouse, campaign_id, user_id) if home.settings.warehouse_path.exists() else None
    if row is None:
        who = f"user {user_id} is no candidate" if user_id else "nobody is a candidate"
        raise InputError(
            f"{campaign_id}: {who} at the last tick; `postrider run` makes one, `postrider explain` says why not"
        )
    (message,) = planned_messages([row | {"verdict": "send", "variant": variant, "decision_id": "preview"}])
    with home.ledger() as ledger:
        run_id = f"preview-{uuid.uuid4()}"
        batch = home.draft([message], home.writing.model(ledger, run_id, row["as_of"]))
    if batch.failures:
        raise InputError(batch.failures[message.message_id])
    (draft,) = batch.drafts
    folder = out or home.path / "previews"
    files = write_preview(draft, folder, find_chromium())
    return {
        "campaign_id": campaign_id,
        "user_id": message.user_id,
        "subject": draft.subject,
        "mode": draft.mode,
        "fallback_reason": draft.fallback_reason,
        "facts": json.loads(row["facts"]),
        "knowledge": read_consulted(batch.artifacts[digest]) if (digest := draft.recipe.get("knowledge")) else None,
        "files": [str(file) for file in files],
    }


def preview_all(home: Home, out: Path | None) -> dict[str, Any]:
    """Every campaign's mail in every locale with sample facts, as HTML and text, and a contact sheet per locale where the inspectors are
    installed; `told` says how many, and why there are no pictures."""
    home.mailing.preflight()
    mails = list(specimens(home))
    folder = out or home.path / "previews" / "all"
    files = write_mails(mails, folder)
    told = f"{len(mails)} mails as HTML and text in {folder}"
    try:
        sheets = write_sheets(mails, folder, Inspectors(PROJECT_ROOT / "inspectors"))
    except MissingToolError as error:
        sheets, told = [], f"{told}; no pictures: {error}"
    return {
        "mails": len(mails),
        "files": [str(file) for file in files],
        "sheets": [str(sheet) for sheet in sheets],
        "told": told,
    }
