"""Ingest: the source as it was received, and the ledger as it stood before this tick."""

from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from dagster_project.adapters.clock import utc_now
from dagster_project.defs.resources import HomeResource, shared_home
from dagster_project.lifecycle.policy_versions import template_artifacts

LEDGER_TABLES = {
    "raw_ledger_messages": "One row per message ever planned: its state before this tick.",
    "raw_ledger_suppressions": "One row per suppression now in force: people who must not be mailed.",
    "raw_ledger_controls": "One row per control now in force: kill switch and pauses.",
    "raw_ledger_policies": "One row per campaign and version of its policy: since when ticks decide by it.",
    "raw_ledger_ticks": "One row per earlier tick and campaign: how large its audience was.",
}


class IngestConfig(dg.Config):
    """`as_of`: the tick's time in UTC (ISO 8601). Empty means now, as in a run started by hand in the UI."""

    as_of: str = ""


@dg.definitions
def defs() -> dg.Definitions:
    @dg.multi_asset(
        name="ingest",
        specs=[
            dg.AssetSpec(
                name,
                group_name="ingest",
                kinds={"duckdb"},
                owners=["team:analytics"],
                description=text,
                code_version="1",
            )
            for name, text in {table.name: table.description for table in shared_home().pack.tables}.items()
            | LEDGER_TABLES.items()
        ],
    )
    def ingest(
        context: dg.AssetExecutionContext, config: IngestConfig, home: HomeResource
    ) -> Iterator[dg.MaterializeResult]:
        as_of = datetime.fromisoformat(config.as_of) if config.as_of else utc_now().replace(microsecond=0)
        with home.ledger() as ledger:
            ledger.begin_tick(context.run_id, as_of, home.pack.name)
            ledger.record_policies(
                context.run_id,
                as_of,
                home.pack.name,
                home.policy_documents(),
                template_artifacts(home.template_files()),
            )
            history = ledger.land(home.pack.name)
        rows = home.warehouse.land(home.pack, home.data) | home.warehouse.write(history, schema="raw")
        for name, count in rows.items():
            yield dg.MaterializeResult(
                asset_key=name, metadata={"dagster/row_count": count, "as_of": as_of.isoformat()}
            )

    return dg.Definitions(assets=[ingest])
