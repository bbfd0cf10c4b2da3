"""The templates that ship, loaded once per process and only when a test asks: it takes half a second."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dagster_project.adapters.templates import Library, load_templates

TEMPLATES = Path(__file__).parent.parent / "templates"
CAMPAIGNS = sorted(path.name for path in (TEMPLATES / "emails").iterdir() if path.is_dir())


@cache
def shipped_templates() -> Library:
    """Never changes, so that tests may share it."""
    return load_templates(TEMPLATES)
