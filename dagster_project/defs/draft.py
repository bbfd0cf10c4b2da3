"""Draft: what each person would read."""

import dagster as dg

from dagster_project.adapters.drafts import draft_pieces, record_in_groups
from dagster_project.defs.resources import HomeResource
from dagster_project.lifecycle.planning import as_planned, planned_messages, require_decided, withdrawn, withheld

UNROUTED = ("planned", "drafted")  # nobody has judged these yet: drafted anew, so that a mended template counts
UNSENT = ("planned", "drafted", "in_review", "approved", "deferred")
SUBJECTS = "select subject from main.drafts where subject is not null"
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
        batches = home.draft_in_groups(unrouted, home.writing.model(ledger, tick.run_id, tick.as_of))
        told = record_in_groups(ledger, batches, context.run_id, tick.as_of)
        pieces = draft_pieces(ledger, ledger.messages(UNSENT, tick.source_pack), home.policies)
        rows = home.warehouse.write_pieces("drafts", pieces)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "planned": planned,
            "cancelled": cancelled,
            "not_drafted": sorted(set(told.failures.values()))[:10],
            "model_calls": sum(answer.cost.calls for answer in told.answers),
            "objections": list(told.objections[:10]),
            "sample_of_subjects": sorted(set(home.warehouse.examples(SUBJECTS, 200)))[:10],
        }
    )
