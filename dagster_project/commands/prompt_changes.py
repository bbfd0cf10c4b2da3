"""What of the prompts differs between two revisions, and what their recordings say of both. Part of `postrider diff`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from dagster_project.commands.evals import CASSETTE, replayed
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.evals.comparing import difference
from dagster_project.lifecycle.policy_versions import line_diff

_PROMPTS = Path("templates") / "prompts"  # instructions, and who is asked with them: classes.yml, canary.yml


def prompt_changes(base: Home, head: Home) -> dict[str, Any] | None:
    """`files` that differ, each with its lines; `evals` with the figures of each side and what differs between them, null where a
    side has no whole recording. None where neither prompts nor recording differ. No model is asked."""
    before, after = _files(base), _files(head)
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    if not changed and _recording(base) == _recording(head):
        return None
    figures = {side: _replayed(home) for side, home in (("base", base), ("head", head))}
    is_whole = figures["base"] is not None and figures["head"] is not None
    return {
        "files": [
            {
                "file": f"{_PROMPTS.as_posix()}/{name}",
                "diff": line_diff(before.get(name, "").splitlines(), after.get(name, "").splitlines()),
            }
            for name in changed
        ],
        "evals": {side: one and one["all"] for side, one in figures.items()}
        | {"difference": difference(figures["base"] or {}, figures["head"] or {}) if is_whole else None},
    }


def _files(home: Home) -> dict[str, str]:
    """File -> text, as they lie there; what can't be read is left out."""
    found = {}
    for path in sorted((home.settings.project / _PROMPTS).glob("*")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found[path.name] = path.read_text(encoding="utf-8")
    return found


def _recording(home: Home) -> bytes | None:
    path = home.writing.evals / CASSETTE
    return path.read_bytes() if path.is_file() else None


def _replayed(home: Home) -> dict[str, Any] | None:
    """None: nothing, or not every call, was recorded for this revision."""
    try:
        return replayed(home, home.writing.evals / CASSETTE)
    except InputError:
        return None
