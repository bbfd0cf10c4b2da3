"""The audience gate, after decide: are these the people we mean, and no more of them than usual?"""

from __future__ import annotations

from expectations.audience import churn, sizes
from expectations.defaults import Given
from expectations.expectation import Builtin, Expectation, Rows, Suite
from expectations.sql import filled, is_address, moment, share

VERDICTS = "main.int_verdicts"
SENDS = "select count(*) from batch where verdict = 'send'"


def suite(given: Given) -> Suite:
    """Verdicts of this tick, and the sends among them."""
    return Suite(
        "decide",
        (*_verdicts(given), *_recipients(given), *sizes(given), _share_of_base(given), churn(given)),
        reads=(
            "main.int_candidates_unioned",
            "main.int_users_enriched",
            "main.dim_campaigns",
            "main.fct_decisions",
            "raw.raw_ledger_messages",
            "raw.raw_ledger_suppressions",
            "raw.raw_ledger_ticks",
        ),
    )


def _verdicts(given: Given) -> list[Expectation]:
    return [
        Builtin(
            name="verdicts_unique",
            sentence="No message is decided twice.",
            batch=VERDICTS,
            kind="ExpectColumnValuesToBeUnique",
            arguments={"column": "message_id"},
        ),
        Rows(
            name="every_candidate_decided",
            sentence="Every candidate has a verdict, and every verdict a candidate.",
            batch=VERDICTS,
            violations="""
                select coalesce(candidates.message_id, batch.message_id, '?') as example
                from main.int_candidates_unioned as candidates
                full outer join batch on candidates.message_id = batch.message_id
                where candidates.message_id is null or batch.message_id is null or batch.verdict is null
            """,
            population="select count(*) from main.int_candidates_unioned",
        ),
        Rows(
            name="verdicts_of_this_tick",
            sentence="The verdicts are those of this tick.",
            batch=VERDICTS,
            violations=f"select message_id as example from batch where as_of is distinct from {moment(given.as_of)}",
            population="select count(*) from batch",
        ),
    ]


def _recipients(given: Given) -> list[Expectation]:
    email = filled("email")
    return [
        Rows(
            name="sends_have_address",
            sentence="Every recipient has an address.",
            batch=VERDICTS,
            violations=f"select message_id as example from batch where verdict = 'send' and {email} is null",
            population=SENDS,
        ),
        Rows(
            name="sends_have_valid_address",
            sentence=f"At least {share(given.min_valid_address_share)} of the recipients have a plausible address.",
            batch=VERDICTS,
            violations=f"select message_id as example from batch where verdict = 'send' and not {is_address(email)}",
            population=SENDS,
            mostly=given.min_valid_address_share,
        ),
        Rows(
            name="sends_not_suppressed",
            sentence="No mail goes to a suppressed person or address.",
            batch=VERDICTS,
            # Asked again of the ledger itself, apart from the rule in SQL that should have blocked them.
            # Two joins on one key each: a join on either would compare everybody with everybody.
            violations="""
                with suppressions as (
                    select user_id, lower(trim(address)) as address, message_type, channel
                    from raw.raw_ledger_suppressions
                ),

                sends as (
                    select message_id, user_id, lower(trim(email)) as address, message_type, channel
                    from batch where verdict = 'send'
                ),

                hits as (
                    select sends.message_id, sends.message_type, sends.channel,
                        suppressions.message_type as for_type, suppressions.channel as for_channel
                    from sends inner join suppressions on sends.user_id = suppressions.user_id
                    union all
                    select sends.message_id, sends.message_type, sends.channel,
                        suppressions.message_type, suppressions.channel
                    from sends inner join suppressions on sends.address = suppressions.address
                )

                select distinct message_id as example from hits
                where coalesce(for_type = message_type, for_type is null)
                    and coalesce(for_channel = channel, for_channel is null)
            """,
            population=SENDS,
        ),
        Rows(
            name="sends_not_internal",
            sentence="No mail goes to our own people.",
            batch=VERDICTS,
            violations="""
                select message_id as example from batch
                inner join main.int_users_enriched as users on batch.user_id = users.user_id
                where batch.verdict = 'send' and users.is_internal
            """,
            population=SENDS,
        ),
        Rows(
            name="sends_have_required_facts",
            sentence="Every mail has the facts that its campaign needs.",
            batch=VERDICTS,
            violations="""
                with required as (
                    select campaign_id, unnest(json_extract_string(required_facts, '$[*]')) as fact
                    from main.dim_campaigns
                )

                select
                    batch.message_id || ' lacks ' || string_agg(required.fact, ', ' order by required.fact) as example
                from batch inner join required on batch.campaign_id = required.campaign_id
                where batch.verdict = 'send'
                    and nullif(trim(json_extract_string(batch.facts, '$."' || required.fact || '"')), '') is null
                group by batch.message_id
            """,
            population=SENDS,
        ),
    ]


def _share_of_base(given: Given) -> Rows:
    sends = "(select count(distinct user_id) from batch where verdict = 'send')"
    contactable = f"{filled('email')} is not null and not coalesce(is_internal, false)"
    base = f"(select count(*) from main.int_users_enriched where {contactable})"
    return Rows(
        name="share_of_base",
        sentence=f"One tick mails at most {share(given.max_send_share)} of the people we may contact.",
        batch=VERDICTS,
        # A fresh home of a developer starts with everybody; in production that is how wrong lists go out.
        severity="critical" if given.env == "production" else "warning",
        violations=f"""
            select message_id as example from batch
            where verdict = 'send' and {sends} >= {given.min_sends_judged}
                and {sends} > {given.max_send_share} * {base}
        """,
        observed=f"""
            select format('{{:,}} of {{:,}} people ({{:.1f}} %)', {sends}, {base}, 100 * {sends} / greatest({base}, 1))
        """,
    )
