"""The audience gate's look back: is each campaign about as large as it was?"""

from __future__ import annotations

from expectations.defaults import Given
from expectations.expectation import Rows
from expectations.sql import moment, share, text

VERDICTS = "main.int_verdicts"


def sizes(given: Given) -> list[Rows]:
    """Candidates per campaign against the cap and against the median of the last ticks.

    A campaign without history is trusted, up to the cap: in a fresh home all are.
    """
    history = _history(given)
    low, high, most = given.audience_low, given.audience_high, given.audience_max
    judged = f"usual is not null and greatest(now, usual) >= {given.audience_floor}"
    times = "now / greatest(usual, 1)"
    trust = """
        case
            when not exists (from past) then 'first tick of this home: trusted'
            when bool_or(usual is null)
                then 'first tick of '
                    || string_agg(campaign_id, ', ' order by campaign_id) filter (usual is null) || ': trusted'
        end
    """
    # The furthest from usual come first.
    strange = f"""
        string_agg(
            format('{{}} {{:,}} against {{:g}} ({{:.1f}} times)', campaign_id, now, usual, {times}),
            ', ' order by abs(ln(greatest(now, 1) / greatest(usual, 1))) desc, campaign_id
        ) filter ({judged} and {{outside}})
    """
    far, odd = f"{times} > {most}", f"({times} < {low} or ({times} > {high} and {times} <= {most}))"
    alike = f"format('{{:,}} campaigns about as large as in the last {given.audience_ticks} ticks', count(*))"
    return [
        Rows(
            name="audience_below_cap",
            sentence=f"No campaign has more than {given.audience_cap:,} candidates in one tick.",
            batch=VERDICTS,
            violations=f"select campaign_id as example from batch group by 1 having count(*) > {given.audience_cap}",
            observed="""
                select coalesce(
                    string_agg(format('{} {:,}', campaign_id, size), ', ' order by size desc, campaign_id),
                    'no candidates'
                )
                from (
                    select campaign_id, count(*) as size from batch
                    group by 1 order by size desc, campaign_id limit 3
                )
            """,
            is_by_campaign=True,
        ),
        Rows(
            name="audience_not_exploded",
            sentence=f"No campaign is more than {most:g} times as large as usual.",
            batch=VERDICTS,
            violations=f"{history} select campaign_id as example from sizes where {judged} and {far}",
            observed=f"{history} select coalesce({strange.replace('{outside}', far)}, {trust}, {alike}) from sizes",
            is_by_campaign=True,
        ),
        Rows(
            name="audience_as_usual",
            sentence=f"Every campaign is {low:g} to {high:g} times as large as usual.",
            batch=VERDICTS,
            severity="warning",
            violations=f"{history} select campaign_id as example from sizes where {judged} and {odd}",
            observed=f"{history} select coalesce({strange.replace('{outside}', odd)}, {trust}, {alike}) from sizes",
            is_by_campaign=True,
        ),
    ]


def _history(given: Given) -> str:
    """CTEs `past` (campaign and tick) and `sizes` (campaign, candidates now, median of the last ticks or null)."""
    return f"""
        with past as (
            select campaign_id, as_of, max(candidates) as candidates
            from raw.raw_ledger_ticks
            where source_pack = {text(given.source_pack)} and status = 'done' and as_of < {moment(given.as_of)}
                and campaign_id is not null
            group by campaign_id, as_of
            qualify dense_rank() over (order by as_of desc) <= {given.audience_ticks}
        ),

        usual as (select campaign_id, median(candidates) as usual from past group by campaign_id),

        present as (select campaign_id, count(*) as now from batch group by campaign_id),

        sizes as (
            select coalesce(present.campaign_id, usual.campaign_id) as campaign_id, coalesce(now, 0) as now, usual
            from present full outer join usual on present.campaign_id = usual.campaign_id
        )
    """


def churn(given: Given) -> Rows:
    """Messages that were still open after the last tick, and whose people have stopped qualifying since.

    Names the campaigns that lost more than their share; the ones that lose little keep going.
    """
    open_before = f"""
        with latest as (
            select message_id, campaign_id, verdict from main.fct_decisions
            where source_pack = {text(given.source_pack)} and as_of < {moment(given.as_of)}
            qualify row_number() over (partition by message_id order by as_of desc, decision_id) = 1
        ),

        eligible as (
            select latest.campaign_id, batch.message_id is null as is_gone
            from latest
            left join batch on latest.message_id = batch.message_id
            anti join (from raw.raw_ledger_messages where sent_as_of is not null) as sent
                on latest.message_id = sent.message_id
            where latest.verdict in ('send', 'hold', 'lose')
        )
    """
    limit = given.max_churn_share
    too_many = f"""
        (select count(*) >= {given.audience_floor} and avg(is_gone::int) > {limit} from eligible)
    """
    return Rows(
        name="eligible_remain",
        sentence=f"At most {share(limit)} of those who were eligible before have vanished.",
        batch=VERDICTS,
        severity="warning",
        violations=f"""
            {open_before}
            select campaign_id as example from eligible where {too_many}
            group by 1 having avg(is_gone::int) > {limit}
        """,
        observed=f"""
            {open_before}
            select format('{{:,}} of {{:,}} vanished', count(*) filter (is_gone), count(*)) from eligible
        """,
        is_by_campaign=True,
    )
