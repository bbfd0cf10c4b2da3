"""Decisions: every candidate judged by every rule, with one verdict and its reason."""

import dagster as dg

from dagster_project.defs.models import stage_models
from dagster_project.home import Home


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(assets=[stage_models("decide", Home())])
