"""The gate after evaluate: do the figures that we show add up?"""

from __future__ import annotations

from expectations.defaults import Given
from expectations.expectation import Rows, Suite


def suite(given: Given) -> Suite:
    """Deliveries, experiments and KPIs. Nothing here depends on the time."""
    del given
    return Suite(
        "evaluate",
        (
            Rows(
                name="deliveries_counted_once",
                sentence="Every delivery is evaluated, once.",
                batch="main.fct_deliveries",
                violations="""
                    with counted as (select message_id, count(*) as times from batch group by 1)

                    select coalesce(counted.message_id, deliveries.message_id, '?') as example
                    from main.deliveries as deliveries
                    full outer join counted on deliveries.message_id = counted.message_id
                    where counted.times is distinct from 1 or deliveries.message_id is null
                """,
                population="select count(*) from main.deliveries",
            ),
            Rows(
                name="rates_are_shares",
                sentence="Every rate lies between 0 and 1.",
                batch="main.fct_experiment_results",
                violations="""
                    select campaign_id || ' ' || measure as example
                    from (
                        unpivot (select campaign_id, columns('_rate$')::double from batch)
                        on columns('_rate$') into name measure value rate
                    )
                    where rate not between 0 and 1
                """,
            ),
            Rows(
                name="every_kpi_present",
                sentence="Every KPI has a figure for its last day.",
                batch="main.kpi_daily",
                violations="""
                    select kpi as example from batch
                    group by 1 having max(kpi_date) < (select max(kpi_date) from batch)
                    union all
                    select 'none' where not exists (from batch)
                """,
                observed="select format('{:,} KPIs', count(distinct kpi)) from batch",
            ),
        ),
        reads=("main.deliveries",),
    )
