"""Deliver: released messages leave through the channel; what happened is in the ledger before and after each."""

import os

import dagster as dg

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.delivering import deliver
from dagster_project.defs.resources import HomeResource


@dg.asset(deps=["releases"], group_name="deliver", kinds={"python"}, owners=["team:lifecycle"], code_version="1")
def deliveries(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """One row per message ever planned, with where it stands: sent, waiting, rejected, cancelled or unknown, and why.

    By default mails are written to the outbox folder and nothing is sent.
    """
    with home.ledger() as ledger, home.channel(ledger.tick(context.run_id).as_of) as channel:
        tick = ledger.tick(context.run_id)
        counts = deliver(
            ledger,
            channel,
            home.letterhead(tick.as_of),
            worker=f"{context.run_id}:{os.getpid()}",  # a run that was given up for dead may still be at work
            run_id=context.run_id,
            clock=utc_now,
            source_pack=tick.source_pack,
        )
        rows = ledger.deliveries(tick.source_pack)
    home.warehouse.write({"deliveries": rows})
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows.num_rows, "channel": channel.name} | counts.as_dict()
    )
