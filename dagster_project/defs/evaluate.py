"""Evaluation: what was delivered, what followed, and how treated people compare with held-out ones."""

import dagster as dg

from dagster_project.defs.models import stage_models


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(assets=[stage_models("evaluate")])
