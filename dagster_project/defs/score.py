"""Scores and triggers: for whom a campaign applies now, and with which facts."""

import dagster as dg

from dagster_project.defs.models import stage_models


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(assets=[stage_models("score")])
