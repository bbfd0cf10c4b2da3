"""Decisions: every candidate judged by every rule, with one verdict and its reason."""

import dagster as dg

from dagster_project.defs.models import stage_models


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(assets=[stage_models("decide")])
