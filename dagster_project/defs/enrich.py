"""Staging and enrichment: what was received, cleaned, and what is known of each person at the tick."""

import dagster as dg

from dagster_project.defs.models import stage_models


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(assets=[stage_models("enrich")])
