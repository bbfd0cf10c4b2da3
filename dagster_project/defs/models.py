"""How a stage that is done in dbt becomes Dagster assets: one asset per model, its dbt tests in its metadata.

The tests are no asset checks of their own: some 150 of them would be 300 more events in each run, which took 6 s of a
tick, to say what the stage's gate says in one line.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from dagster_project.adapters.binding import condition_problem, trigger_problem
from dagster_project.adapters.models import NodeResult
from dagster_project.adapters.state import made_anew
from dagster_project.defs.plots import story_of_decisions
from dagster_project.defs.resources import HomeResource, shared_home
from dagster_project.home import Home
from dagster_project.lifecycle.campaign import TRIGGER_PREFIX
from dagster_project.lifecycle.errors import InputError

# What each stage builds, as dbt selects it. By name and not by path: Dagster resolves paths from wherever it was called.
SELECTED = {
    "enrich": [
        "fqn:postrider.staging",
        "fqn:postrider.intermediate.enrich",
        "fqn:product_events",
        "fqn:country_time_zones",
    ],
    "score": ["fqn:postrider.intermediate.score"],
    "decide": [
        "fqn:postrider.intermediate.decide",
        "fqn:postrider.marts.decide",
        "fqn:eligibility_rules",
        "fqn:holidays",
        "fqn:legal_basis_by_country",
    ],
    "evaluate": ["fqn:postrider.marts.evaluate"],
}
# Decisions are kept for ever: they are added only when every test of what they are made from has passed.
LAST = {"decide": ("fct_decisions", "fct_cap_prices")}
KEEPING = "enrich"  # the stage whose models are kept from tick to tick


class StageTranslator(DagsterDbtTranslator):
    """Keys an asset by its model's name alone.

    With dbt's schema in the key, `deps=["fct_decisions"]` in a Python asset would make a phantom asset without
    an error, and the lineage would break silently.
    """

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_asset_checks=False))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey(dbt_resource_props["name"])

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The model's own words; the SQL stands in the repository and would bury them."""
        return dbt_resource_props.get("description") or ""


def stage_models(stage: str) -> dg.AssetsDefinition:
    """All models of one stage as one multi-asset that runs `dbt build` on them as of the tick."""

    @dbt_assets(
        manifest=shared_home().models.manifest,
        select=" ".join(SELECTED[stage]),
        dagster_dbt_translator=StageTranslator(),
        name=f"{stage}_models",
    )
    def models(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[dg.MaterializeResult]:
        with home.ledger() as ledger:
            tick = ledger.tick(context.run_id)
        results = build(home, stage, tick.as_of, context.run_id)
        # A test that was skipped, because what it stands on failed, has said nothing.
        asked = [result for result in results if result.kind == "test" and result.status != "skipped"]
        records = [test_record(home, result) for result in asked]
        with home.ledger() as ledger:
            passed = not any(result.is_bad for result in results)
            ledger.record_gate(context.run_id, tick.as_of, f"{stage}_tests", passed, records)
        yield from materializations(home, results, tick.as_of)
        refuse_untold(home, results)
        refuse_bad(results)

    return models


def build(home: Home, stage: str, as_of: datetime, run_id: str) -> list[NodeResult]:
    """Build a stage's models and ask its tests. What is kept from tick to tick is moved on where it can be; where a model or a
    test then fails, the stage is made anew before anything is said of it: what was carried on may be what is wrong."""
    carried = home.carrying(as_of) if stage == KEEPING else None
    variables = carried.variables if carried else None
    results = home.models.run(SELECTED[stage], as_of, run_id, last=LAST.get(stage, ()), variables=variables)
    bad = [result for result in results if result.is_bad]
    if carried and carried.moves_on and bad:
        anew = made_anew(carried, f"moved on, {bad[0].name}: {bad[0].message}")
        results = home.models.run(SELECTED[stage], as_of, run_id, last=LAST.get(stage, ()), variables=anew.variables)
    return results


def test_record(home: Home, result: NodeResult) -> dict[str, Any]:
    """One dbt test as a line of its stage's gate."""
    has_rows = result.is_bad and result.failures and result.compiled_sql
    return {
        "name": result.name,
        "sentence": result.sentence,
        "severity": "warning" if result.status == "warn" else "critical",
        "passed": result.status == "pass",
        "unexpected_count": result.failures,
        "examples": home.warehouse.examples(result.compiled_sql) if has_rows and result.compiled_sql else [],
        "observed": result.message,
    }


def materializations(home: Home, results: Sequence[NodeResult], as_of: datetime) -> Iterator[dg.MaterializeResult]:
    """One per model and seed that was built, with its rows, its seconds and how its tests went."""
    built = [result for result in results if result.kind in ("model", "seed") and result.status == "success"]
    counts = home.warehouse.counts([result.name for result in built])
    for result in built:
        tests = [test for test in results if test.kind == "test" and test.tested == result.unique_id]
        yield dg.MaterializeResult(
            asset_key=result.name,
            metadata={
                **({"dagster/row_count": counts[result.name]} if result.name in counts else {}),  # of a table
                "seconds": round(result.seconds, 3),
                "tests_passed": sum(test.status == "pass" for test in tests),
                "tests_failed": [test.sentence for test in tests if test.is_bad],
                **(story_of_decisions(home.decisions(as_of)) if result.name == "fct_decisions" else {}),
            },
        )


def refuse_untold(home: Home, results: Sequence[NodeResult]) -> None:
    """Stop the tick for a trigger of which `explain` could not say whom it chose: whoever is mailed can be told why."""
    triggers = [result for result in results if result.name.startswith(TRIGGER_PREFIX) and result.compiled_sql]
    if not triggers:
        return
    with home.warehouse.connect() as connection:
        for result in triggers:
            # Of one that could not be built the engine tells more than its form does, but for a condition's type.
            look = condition_problem if result.is_bad else trigger_problem
            if problem := look(connection, result.name, result.compiled_sql or ""):
                raise InputError(problem)


def refuse_bad(results: Sequence[NodeResult]) -> None:
    """Stop the tick when a model could not be built or a dbt test failed."""
    bad = [result for result in results if result.is_bad]
    if bad:
        lines = "; ".join(f"{result.sentence} {result.message}" for result in bad[:5])
        raise dg.Failure(description=f"{len(bad)} of {len(results)} dbt nodes failed: {lines}", allow_retries=False)
