"""Deliver: released messages leave through the channel; what happened is in the ledger before and after each."""

import dagster as dg

from dagster_project.adapters.notes import tidy
from dagster_project.defs.resources import HomeResource
from dagster_project.workers import Job, deliver_with


@dg.asset(deps=["releases"], group_name="deliver", kinds={"python"}, owners=["team:lifecycle"], code_version="1")
def deliveries(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """One row per message ever planned, with where it stands: sent, waiting, rejected, cancelled or unknown, and why.

    By default mails are written to the outbox folder and nothing is sent.
    """
    with home.ledger() as ledger:
        tick = ledger.tick(context.run_id)
        purged = ledger.purge_inbox()
        tidy(home.notes, ledger.waiting_for)
    counts = deliver_with(
        home.settings.workers, Job(home.settings, tick.as_of, tick.source_pack, run_id=context.run_id)
    )
    with home.ledger() as ledger:
        rows = ledger.deliveries(tick.source_pack)
    home.warehouse.write({"deliveries": rows})
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows.num_rows, "channel": home.settings.channel, "inbox_purged": purged}
        | counts.as_dict()
    )
