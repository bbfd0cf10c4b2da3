"""The gate after deliver: did exactly the released messages leave, once?"""

from __future__ import annotations

from expectations.defaults import Given
from expectations.expectation import Builtin, Rows, Suite
from expectations.sql import moment, text

DELIVERIES = "main.deliveries"


def suite(given: Given) -> Suite:
    """Where every message stands. What an earlier run of the same time has sent was judged by that run."""
    sent = f"sent_as_of = {moment(given.as_of)}"
    return Suite(
        "deliver",
        (
            Builtin(
                name="deliveries_unique",
                sentence="No message is sent twice.",
                batch=DELIVERIES,
                kind="ExpectColumnValuesToBeUnique",
                arguments={"column": "message_id"},
            ),
            Rows(
                name="nothing_left_sending",
                sentence="No message is left half sent.",
                batch=DELIVERIES,
                # A worker on another host may be at it right now, and says within two minutes what became of it.
                violations="select message_id as example from batch where state = 'sending' and not is_held",
                population="select count(*) from batch",
            ),
            Rows(
                name="planned_is_accounted_for",
                sentence="No planned message is lost.",
                batch=DELIVERIES,
                violations=f"""
                    with planned as (
                        select message_id from main.drafts
                        union
                        select message_id from raw.raw_ledger_messages where source_pack = {text(given.source_pack)}
                    )

                    select planned.message_id as example from planned
                    anti join (from batch where state is not null) as known on planned.message_id = known.message_id
                """,
                observed="select format('{:,} messages accounted for', count(*)) from batch",
            ),
            Rows(
                name="sent_under_a_release",
                sentence="Every sent message belongs to a release.",
                batch=DELIVERIES,
                violations=f"""
                    select message_id as example from batch
                    where {sent} and sent_as_of not in (select as_of from main.releases where as_of is not null)
                """,
                population=f"select count(*) from batch where {sent}",
            ),
            Rows(
                name="sent_with_approval",
                sentence="Nothing is sent without an approval of its very words.",
                batch=DELIVERIES,
                violations=f"""
                    select batch.message_id as example from batch
                    left join main.reviews as reviews on batch.message_id = reviews.message_id
                    where batch.{sent}
                        and (
                            batch.message_id in (select message_id from main.drafts)
                            or batch.run_id in (select run_id from main.releases)
                        )
                        and not coalesce(
                            reviews.verdict = 'approved' and reviews.draft_hash = batch.draft_hash, false
                        )
                """,
                population=f"select count(*) from batch where {sent}",
            ),
        ),
        reads=("main.drafts", "main.reviews", "main.releases", "raw.raw_ledger_messages"),
    )
