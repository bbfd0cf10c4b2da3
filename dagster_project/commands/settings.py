"""From the environment and options to a home."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from dagster_project.home import Home, home_of
from dagster_project.lifecycle.errors import InputError
from dagster_project.settings import Settings

_NOT_SETTINGS = ("POSTRIDER_WAREHOUSE", "POSTRIDER_NO_SKIP")  # set for dbt's profile, and by CI for the tests


def open_home(source: str | None = None, data: Path | None = None) -> Home:
    """The home that the environment, `.env` and these options name; InputError for a setting that isn't valid.

    Options are put into the environment, because Dagster's code location reads its settings there.
    """
    if source is not None:
        os.environ["POSTRIDER_SOURCE"] = source
    if data is not None:
        os.environ["POSTRIDER_DATA"] = str(data.resolve())
    _refuse_misspelt()
    try:
        home = home_of(Settings())
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        name = name if name.isupper() else f"POSTRIDER_{name.upper()}"
        raise InputError(f"{name}: found {first['input']!r}; {first['msg']}") from error
    if not (home.settings.project / "dbt_project" / "dbt_project.yml").is_file():
        raise InputError(
            f"POSTRIDER_PROJECT: {home.settings.project} holds no dbt_project/dbt_project.yml;"
            " allowed: the folder with dbt_project/ and templates/"
        )
    _ = home.pack  # an unknown pack is refused here, before anything is opened
    return home


def _refuse_misspelt() -> None:
    """InputError for a name that is nearly a setting's: POSTRIDER_CHANEL=smtp would be ignored, and nothing sent.

    A name that resembles none is left alone; whoever runs Postrider may have variables of their own.
    """
    known = [name for name in setting_names() if name.startswith("POSTRIDER_")]
    try:
        given = {*os.environ, *dotenv_values(".env")}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f".env: can't be read ({error}); allowed: lines of NAME=value in UTF-8") from error
    for name in sorted(given):
        if name.startswith("POSTRIDER_") and name not in {*known, *_NOT_SETTINGS}:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            if nearest:
                raise InputError(f"{name}: no such setting; did you mean {nearest[0]}?")


def setting_names() -> dict[str, str]:
    """Every setting: its name in the environment → its field."""
    return {
        str(getattr(field.validation_alias, "choices", [f"POSTRIDER_{name.upper()}"])[0]): name
        for name, field in Settings.model_fields.items()
    }
