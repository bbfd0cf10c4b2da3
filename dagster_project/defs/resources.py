"""The home that all assets of a code location share."""

import dagster as dg

from dagster_project.home import Home

HomeResource = dg.ResourceParam[Home]


@dg.definitions
def resources() -> dg.Definitions:
    """One home per process, opened from the settings."""
    return dg.Definitions(resources={"home": Home()})
