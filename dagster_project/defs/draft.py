"""Draft: what each person would read."""

import dagster as dg

from dagster_project.defs.resources import HomeResource
from dagster_project.lifecycle.planning import as_planned, planned_messages, require_decided, withdrawn, withheld
from dagster_project.lifecycle.relations import draft_rows

UNROUTED = ("planned", "drafted")  # nobody has judged these yet: drafted anew, so that a mended template counts
UNSENT = ("planned", "drafted", "in_review", "approved", "deferred")
RELEASED = ("approved", "deferred", "claimed")  # may leave at any moment, under the release of an earlier tick


@dg.asset(
    deps=["fct_decisions"], group_name="draft", kinds={"python", "jinja"}, owners=["team:lifecycle"], code_version="1"
)
def drafts(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """One row per message that waits to be sent, with every word its recipient would read.

    Made from the campaign's template. In assisted campaigns a language model may fill named slots, in autonomous ones write the
    letter; whatever it writes that is too long, unfounded or not plain text is replaced by the template's own words.
    """
    with home.ledger() as ledger:
        tick = ledger.tick(context.run_id)
        require_decided(tick.as_of, ledger.gates(tick.run_id))
        verdicts = home.decisions(tick.as_of)
        ledger.withhold(withheld(ledger.messages(RELEASED, tick.source_pack), verdicts))
        waiting = ledger.messages(UNSENT, tick.source_pack)
        cancelled = ledger.cancel(withdrawn(waiting, verdicts), context.run_id, tick.as_of)
        planned = ledger.plan(planned_messages(verdicts), tick.run_id, tick.as_of, tick.source_pack)
        unrouted = [as_planned(message) for message in ledger.messages(UNROUTED, tick.source_pack)]
        batch = home.draft(unrouted, home.model(ledger, tick.run_id, tick.as_of))
        ledger.put_artifacts(batch.artifacts)
        ledger.record_drafts(batch.drafts, context.run_id, tick.as_of)
        rows = draft_rows(
            ledger.messages(UNSENT, tick.source_pack),
            {message.message_id: draft for message, draft in ledger.drafts(source_pack=tick.source_pack)},
            home.policies,
        )
    home.warehouse.write({"drafts": rows})
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows.num_rows,
            "planned": planned,
            "cancelled": cancelled,
            "not_drafted": sorted(set(batch.failures.values()))[:10],
            "model_calls": sum(answer.was_called for answer in batch.answers),
            "objections": list(batch.objections[:10]),
            "sample_of_subjects": sorted(set(rows.column("subject").to_pylist()[:200]) - {None})[:10],
        }
    )
