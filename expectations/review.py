"""The gate after review: has everything been seen that must be seen?"""

from __future__ import annotations

from expectations.defaults import Given
from expectations.expectation import Builtin, Rows, Suite
from expectations.sql import filled

REVIEWS = "main.reviews"

# By the policy and the draft's own caution, whatever the reason that was recorded for its route.
MUST_BE_SEEN = """
    batch.verdict = 'approved'
    and (
        batch.review_policy = 'all'
        or (batch.review_policy = 'risk' and drafts.caution is not null)
        or (batch.review_policy like 'sample:%' and drafts.caution like 'doubt:%')
    )
"""


def suite(given: Given) -> Suite:
    """Verdicts on drafts. Nothing here depends on the time."""
    del given
    return Suite(
        "review",
        (
            Builtin(
                name="reviews_unique",
                sentence="No draft has two verdicts.",
                batch=REVIEWS,
                kind="ExpectColumnValuesToBeUnique",
                arguments={"column": "message_id"},
            ),
            Rows(
                name="every_draft_reviewed",
                sentence="Every draft has a verdict.",
                batch=REVIEWS,
                violations="""
                    select drafts.message_id as example from main.drafts as drafts
                    left join batch on drafts.message_id = batch.message_id
                    where drafts.draft_hash is not null
                        and coalesce(batch.verdict, 'none') not in ('approved', 'in_review', 'rejected')
                """,
                population="select count(*) from main.drafts where draft_hash is not null",
            ),
            Rows(
                name="approval_of_this_draft",
                sentence="Every approval is of the very words that would go out.",
                batch=REVIEWS,
                violations="""
                    select batch.message_id as example from batch
                    left join main.drafts as drafts on batch.message_id = drafts.message_id
                    where batch.verdict = 'approved'
                        and (drafts.draft_hash is null or batch.draft_hash is distinct from drafts.draft_hash)
                """,
                population="select count(*) from batch where verdict = 'approved'",
            ),
            Rows(
                name="approved_by_a_person",
                sentence="Where a person must approve, a named person has.",
                batch=REVIEWS,
                violations=f"""
                    select batch.message_id as example from batch
                    left join main.drafts as drafts on batch.message_id = drafts.message_id
                    where {MUST_BE_SEEN} and coalesce(lower({filled("batch.reviewer")}), 'policy') = 'policy'
                """,
                population=f"""
                    select count(*) from batch
                    left join main.drafts as drafts on batch.message_id = drafts.message_id where {MUST_BE_SEEN}
                """,
            ),
        ),
        reads=("main.drafts",),
    )
