"""How a stage that is done in dbt becomes Dagster assets: one asset per model, one check per dbt test."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, dbt_assets
from dagster_dbt.asset_utils import get_asset_check_key_for_test

from dagster_project.adapters.models import NodeResult
from dagster_project.defs.resources import HomeResource
from dagster_project.home import Home

# What each stage builds, as dbt selects it. By name and not by path: Dagster resolves paths from wherever it was called.
SELECTED = {
    "enrich": ["fqn:postrider.staging", "fqn:postrider.intermediate.enrich", "fqn:product_events", "fqn:country_time_zones"],
    "score": ["fqn:postrider.intermediate.score"],
    "decide": ["fqn:postrider.intermediate.decide", "fqn:postrider.marts.decide", "fqn:eligibility_rules"],
    "evaluate": ["fqn:postrider.marts.evaluate"],
}


class StageTranslator(DagsterDbtTranslator):
    """Keys an asset by its model's name alone.

    With dbt's schema in the key, `deps=["fct_decisions"]` in a Python asset would make a phantom asset without
    an error, and the lineage would break silently.
    """

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey(dbt_resource_props["name"])

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The model's own words; the SQL stands in the repository and would bury them."""
        return dbt_resource_props.get("description") or ""


def stage_models(stage: str, home: Home) -> dg.AssetsDefinition:
    """All models of one stage as one multi-asset that runs `dbt build` on them as of the tick."""
    manifest = home.models.manifest
    translator = StageTranslator()

    @dbt_assets(
        manifest=manifest,
        select=" ".join(SELECTED[stage]),
        dagster_dbt_translator=translator,
        name=f"{stage}_models",
    )
    def models(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
        with home.ledger() as ledger:
            tick = ledger.tick(context.run_id)
        results = home.models.run(SELECTED[stage], tick.as_of, context.run_id)
        with home.ledger() as ledger:
            ledger.record_gate(context.run_id, tick.as_of, f"{stage}_tests", *test_verdict(results))
        yield from asset_events(results, manifest, translator, home)
        refuse_bad(results)

    return models


def test_verdict(results: list[NodeResult]) -> tuple[bool, list[dict[str, Any]]]:
    """Whether all nodes were good, and what was not: the form in which a gate's result is kept."""
    bad = [result for result in results if result.is_bad]
    return not bad, [
        {"name": result.name, "sentence": result.message or result.name, "unexpected_count": result.failures}
        for result in bad
    ]


def asset_events(
    results: list[NodeResult], manifest: Mapping[str, Any], translator: StageTranslator, home: Home
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """A materialisation per model and seed that was built, a check result per test that ran."""
    built = [result for result in results if result.kind in ("model", "seed") and result.status == "success"]
    counts = home.warehouse.counts([result.name for result in built])
    for result in built:
        yield dg.MaterializeResult(
            asset_key=result.name,
            metadata={"dagster/row_count": counts[result.name], "seconds": round(result.seconds, 3)},
        )
    for result in results:
        if result.kind == "test" and (
            key := get_asset_check_key_for_test(manifest, translator, result.unique_id, project=None)
        ):
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=result.status == "pass",
                severity=dg.AssetCheckSeverity.WARN if result.status == "warn" else dg.AssetCheckSeverity.ERROR,
                metadata={"failures": result.failures, "message": result.message},
            )


def refuse_bad(results: list[NodeResult]) -> None:
    """Stop the tick when a model could not be built or a dbt test failed."""
    bad = [result for result in results if result.is_bad]
    if bad:
        lines = "; ".join(f"{result.name}: {result.message or result.status}" for result in bad[:5])
        raise dg.Failure(description=f"{len(bad)} of {len(results)} dbt nodes failed: {lines}", allow_retries=False)
