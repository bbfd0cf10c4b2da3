"""What messages truly do: made of what nobody sees, for everybody who could be mailed, mostly small and sometimes a harm."""

from __future__ import annotations

import duckdb


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[object, ...]]:
    return connection.execute(sql).fetchall()


def test_everybody_who_could_be_mailed_has_an_effect_for_each_marketing_campaign(
    ledgerline: duckdb.DuckDBPyConnection,
) -> None:
    (counted,) = rows(
        ledgerline,
        """
        select
            count(*), count(distinct (user_id, campaign_id)), count(distinct user_id), count(distinct campaign_id),
            count(*) filter (effect is null or worth is null or fatigue_share is null)
        from effects
        """,
    )
    ((people,),) = rows(
        ledgerline, "select count(*) from users inner join truth using (user_id) where not is_bot and not is_internal"
    )

    assert counted == (people * 9, people * 9, people, 9, 0)


def test_most_effects_are_small_and_some_are_harm(ledgerline: duckdb.DuckDBPyConnection) -> None:
    ((least, middle, most, harmed, tired, fresh, cheap),) = rows(
        ledgerline,
        """
        select
            min(effect), median(effect), max(effect), avg((effect < 0)::int), min(fatigue_share), max(fatigue_share), min(worth)
        from effects
        """,
    )

    assert (-0.1 < least < 0 < middle < 0.05 < most < 0.25) and (0.05 < harmed < 0.11)
    assert 0.55 <= tired < fresh <= 0.95
    assert cheap >= 0


def test_an_effect_shows_in_nothing_that_a_policy_reads(ledgerline: duckdb.DuckDBPyConnection) -> None:
    """Each effect is lowered or raised by a receptiveness of the person's own: role, seats and use tell next to nothing of it."""
    ((by_activity, by_seats),) = rows(
        ledgerline,
        """
        with seen as (select user_id, count(*) as events from events group by 1)
        select corr(effect, coalesce(events, 0)), corr(effect, seats)
        from effects
        inner join users using (user_id)
        inner join accounts using (account_id)
        left join seen using (user_id)
        where campaign_id = 'usage_limit'
        """,
    )

    assert abs(by_activity) < 0.15
    assert abs(by_seats) < 0.15
