"""Review: who has seen a draft, and the release record that a batch needs before it may leave."""

from collections import Counter
from datetime import timedelta

import dagster as dg

from dagster_project.adapters.decisions import drafted_messages
from dagster_project.defs.resources import HomeResource
from dagster_project.lifecycle.planning import cautioned_campaigns, routes, withheld
from dagster_project.lifecycle.relations import release_rows, review_rows

RELEASED = ("approved", "deferred", "claimed")
REQUIRED_GATES = ("ingest", "enrich", "score", "decide", "draft", "review")
# reference: a gate's word is good for six hours; after that the world may have changed.
RELEASE_VALID_FOR = timedelta(hours=6)


@dg.asset(deps=["drafts"], group_name="review", kinds={"python"}, owners=["team:lifecycle"], code_version="1")
def reviews(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """One row per draft, with its verdict: approved by policy or by a person, still in review, or rejected.

    What waits for a person: all drafts of a campaign whose policy says `review: all`, or whose audience looked unusual to the audience
    gate; with `sample:<share>` that share and with `risk` whatever may be one, and with both what the pipeline leaves to a person.
    """
    with home.ledger() as ledger:
        tick = ledger.tick(context.run_id)
        # What the content gate has seen. A tick on another host may draft more, or send some of these, in the meantime.
        seen = drafted_messages(home.warehouse)
        cautioned = cautioned_campaigns(ledger.gates(tick.run_id))
        routings = routes(
            ledger.messages(("drafted",), message_ids=seen), home.policies, cautioned, ledger.cautions(seen)
        )
        stands_otherwise = ledger.route(
            {name: one.to for name, one in routings.items()},
            context.run_id,
            tick.as_of,
            {name: one.reason for name, one in routings.items()},
        )
        rows = review_rows(ledger.messages(message_ids=seen), ledger.reviews(seen), home.policies)
    home.warehouse.write({"reviews": rows})
    verdicts = rows.column("verdict").to_pylist()
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows.num_rows, "routed_otherwise_by_another_tick": len(stands_otherwise)}
        | {word: verdicts.count(word) for word in sorted(set(verdicts))}
        | {f"reason {word}": count for word, count in Counter(one.reason for one in routings.values()).items()}
    )


@dg.asset(deps=["reviews"], group_name="review", kinds={"python"}, owners=["team:lifecycle"], code_version="1")
def releases(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """One row per release: the proof that every gate let this batch through, without which nothing is sent.

    Binds the audience and every draft by hash. A changed draft falls out of its release.
    """
    with home.ledger() as ledger:
        tick = ledger.tick(context.run_id)
        # What now waits for its window or its cap was approved earlier, and must not go out in this tick.
        held = withheld(ledger.messages(RELEASED, tick.source_pack), home.decisions(tick.as_of))
        canary = home.flow.canary if home.way else None
        release = ledger.release(
            context.run_id, tick.as_of, tick.source_pack, REQUIRED_GATES, RELEASE_VALID_FOR, "gates", held, canary
        )
    home.warehouse.write({"releases": release_rows([release])})
    return dg.MaterializeResult(
        metadata={
            "messages": release.count,
            "audience_hash": release.audience_hash,
            "expires_at": str(release.expires_at),
        }
    )
