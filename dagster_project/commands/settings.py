"""From the environment and options to a home."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from dagster_project.home import Home, home_of
from dagster_project.lifecycle.errors import InputError
from dagster_project.settings import Settings


def open_home(source: str | None = None, data: Path | None = None) -> Home:
    """The home that the environment, `.env` and these options name; InputError for a setting that isn't valid.

    Options are put into the environment, because Dagster's code location reads its settings there.
    """
    if source is not None:
        os.environ["POSTRIDER_SOURCE"] = source
    if data is not None:
        os.environ["POSTRIDER_DATA"] = str(data.resolve())
    try:
        home = home_of(Settings())
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        name = name if name.isupper() else f"POSTRIDER_{name.upper()}"
        raise InputError(f"{name}: found {first['input']!r}; {first['msg']}") from error
    _ = home.pack  # an unknown pack is refused here, before anything is opened
    return home
