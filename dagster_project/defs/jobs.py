"""When: the hourly tick, and the delivery of what a person has approved."""

import dagster as dg

from dagster_project.adapters.clock import utc_now
from dagster_project.defs.resources import HomeResource
from dagster_project.lifecycle.planning import is_decided

tick_job = dg.define_asset_job(
    "tick_job",
    selection=dg.AssetSelection.all(),
    description="One tick: from what the source knows to mails delivered and outcomes measured.",
)
deliver_job = dg.define_asset_job(
    "deliver_job",
    selection=dg.AssetSelection.groups("draft", "review", "deliver"),
    description="What was approved since the last tick: gated again, released, delivered.",
)


def ingest_config(as_of: str) -> dict[str, object]:
    """Run configuration of a tick at this time (UTC, ISO 8601)."""
    return {"ops": {"ingest": {"config": {"as_of": as_of}}}}


@dg.schedule(job=tick_job, cron_schedule="0 * * * *", execution_timezone="UTC")
def hourly_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """A tick at every full hour; the scheduled hour is the tick's time, however late the run starts."""
    as_of = context.scheduled_execution_time.replace(tzinfo=None).isoformat()
    return dg.RunRequest(run_key=as_of, run_config=ingest_config(as_of))


@dg.sensor(job=deliver_job, minimum_interval_seconds=60)
def approved_reviews_sensor(_context: dg.SensorEvaluationContext, home: HomeResource) -> dg.RunRequest | dg.SkipReason:
    """Starts a delivery when a person has approved drafts since the last one."""
    with home.ledger() as ledger:
        waiting = ledger.approved_by_people()
        tick = ledger.last_tick()
        can_go_on = tick is not None and is_decided(ledger.gates(tick.run_id))
    if not waiting:
        return dg.SkipReason("no approved draft is waiting")
    if not can_go_on:
        return dg.SkipReason("the last tick got no decisions through; the next one goes on")
    return dg.RunRequest(run_key=f"{waiting[-1]}-{len(waiting)}-{utc_now():%Y-%m-%dT%H:%M}")


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(jobs=[tick_job, deliver_job], schedules=[hourly_schedule], sensors=[approved_reviews_sensor])
