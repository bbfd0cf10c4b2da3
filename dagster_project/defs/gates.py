"""The gates: one blocking check between each stage and the next."""

import dagster as dg

from dagster_project.defs.resources import HomeResource
from expectations.gate import run_gate

# Each gate stands on the asset that the next stage reads, so that a failing check keeps that stage from starting.
GATED = {
    "ingest": "raw_events",
    "enrich": "int_users_enriched",
    "score": "int_candidates_unioned",
    "decide": "fct_decisions",
    "draft": "drafts",
    "review": "reviews",
    "deliver": "deliveries",
    "evaluate": "fct_outcomes",
}


def gate(stage: str, asset: str) -> dg.AssetChecksDefinition:
    """The blocking check of one border; its result is kept in the ledger, where the release record asks for it."""

    @dg.asset_check(
        asset=asset,
        name=f"gate_{stage}",
        blocking=True,
        description=f"May this batch leave {stage}? Every expectation is a sentence; one that fails stops the tick.",
    )
    def check(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        with home.ledger() as ledger:
            tick = ledger.tick(context.run.run_id)
        result = run_gate(stage, home.warehouse.path, home.gate_parameters(tick.as_of))
        with home.ledger() as ledger:
            ledger.record_gate(context.run.run_id, tick.as_of, stage, result.passed, result.as_records())
        return dg.AssetCheckResult(
            passed=result.passed,
            metadata={
                "expectations": len(result.results),
                "failed": [line.sentence for line in result.failed],
                "warnings": [line.sentence for line in result.warnings],
                "sentences": dg.MetadataValue.md(result.as_markdown()),
            },
        )

    return check


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(asset_checks=[gate(stage, asset) for stage, asset in GATED.items()])
