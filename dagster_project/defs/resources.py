"""The home that all assets of a code location share."""

import dagster as dg

from dagster_project.home import Home, home_of
from dagster_project.settings import Settings

HomeResource = dg.ResourceParam[Home]


def shared_home() -> Home:
    """The home that the environment names; the same one for all who ask, so that dbt parses once."""
    return home_of(Settings())


@dg.definitions
def resources() -> dg.Definitions:
    """One home per process, opened from the settings."""
    return dg.Definitions(resources={"home": shared_home()})
