"""The log of decisions is enough to value a policy that never ran: each row carries the chance with which it came about."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.home import Home

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
AS_OF = datetime(2026, 9, 1, 9)
PEOPLE = 40_000
OURS = (
    "int_campaign_chances", "int_campaign_variants", "int_assignments", "int_eligibility__rollout",
    "int_eligibility__holdout_global", "int_eligibility__holdout_campaign",
)  # fmt: skip
# Two campaigns of the same two texts. Who is in which, and so who is drawn how, goes with what they would do.
STUBS = f"""
    create table dim_campaigns as
    select
        campaign_id, rollout_percent, holdout_share, variants, true as is_marketing, 'product_tips' as message_type,
        'email' as channel, 'p' as policy_hash, cast(null as integer) as window_from_hour, 24 as expires_after_hours
    from (values
        ('busy', 50, 0.2, '{{"bold": 1, "calm": 1}}'),
        ('idle', 100, 0.5, '{{"bold": 9, "calm": 1}}')
    ) as campaigns (campaign_id, rollout_percent, holdout_share, variants);
    create table int_candidates_unioned as
    select
        'm' || i as message_id, 'u' || i as user_id, 'once' as occurrence_key, timestamp '2026-09-01 08:00:00' as triggered_at,
        '{{}}' as facts, case when i % 4 = 0 then 'idle' else 'busy' end as campaign_id,
        case (i // 4) % 10 when 0 then 'capped' when 1 then 'crowded' when 2 then 'loser' else 'free' end as kind
    from range({PEOPLE}) as people (i);
    create table stg_ledger__controls (name varchar, campaign_id varchar, value varchar);
    create table int_users_enriched (user_id varchar, account_id varchar, email varchar, locale varchar);
    create table int_candidate_windows (message_id varchar, window_id varchar);
    create table int_send_windows (window_id varchar, opens_at timestamp);
    create table int_campaign_caps (campaign_id varchar, cap_count integer, window_hours integer);
"""
# A cap says no to whom it says no. For a place in the account, and in the person's day, only those stand whom nothing else blocks.
JUDGED = """
    create table int_eligibility_unioned as
    with drawn as (
        select * from int_eligibility__rollout
        union all select * from int_eligibility__holdout_global
        union all select * from int_eligibility__holdout_campaign
        union all
        select message_id, 'frequency_cap', kind = 'capped', false, case when kind = 'capped' then 'frequency_capped' end
        from int_candidates_unioned
    ),
    standing as (select message_id from drawn group by 1 having not bool_or(is_blocked))
    select * from drawn
    union all
    select message_id, 'account_crowding', kind = 'crowded', false, case when kind = 'crowded' then 'account_crowded' end
    from int_candidates_unioned where message_id in (from standing);
    create table int_arbitration as
    select message_id, kind = 'loser' as is_loser, case when kind = 'loser' then 'another' end as winner_message_id
    from int_candidates_unioned
    where message_id not in (select message_id from int_eligibility_unioned where is_blocked);
"""
# The chances that the campaigns' policies give, worked out by hand: 2 in 100 are held out of everything.
TREATED = {"busy": 0.5 * 0.98 * 0.8, "idle": 1 * 0.98 * 0.5}
LOGGED = {"nobody": "holdout_campaign", "bold": "bold", "calm": "calm"}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """One decision per person, by the models' own SQL from the draws on."""
    from dagster_project.settings import Settings

    queries = Home(Settings(home=tmp_path_factory.mktemp("log"))).models.queries(AS_OF)
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as warehouse")
        connection.execute("use warehouse")
        connection.execute(f"create table eligibility_rules as from '{ROOT}/dbt_project/seeds/eligibility_rules.csv'")
        connection.execute(STUBS)
        for model in OURS:
            connection.execute(f"create table {model} as {queries[model]}")
        connection.execute(JUDGED)
        for model in ("int_blocked_candidates", "int_verdicts"):
            connection.execute(f"create table {model} as {queries[model]}")
        cursor = connection.execute("""
            select verdicts.*, people.kind from int_verdicts as verdicts
            inner join int_candidates_unioned as people on verdicts.message_id = people.message_id
        """)
        names = [column[0] for column in cursor.description]
        yield [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def outcome(row: dict[str, Any]) -> str:
    return row["variant"] if row["verdict"] == "send" else row["reason"]


def test_every_outcome_stands_for_all_who_could_have_had_it(log: list[dict[str, Any]]) -> None:
    """Its rows' weights, one over their propensity, add up to everybody of that kind: also where a cap or a queue decided
    on those alone whom a draw had left."""
    assert len(log) == PEOPLE
    behind = {"capped": {"frequency_capped"}, "crowded": {"account_crowded"}, "loser": {"lost_arbitration"}, "free": {"bold", "calm"}}  # fmt: skip
    for campaign in ("busy", "idle"):
        for kind, own in behind.items():
            rows = [row for row in log if (row["campaign_id"], row["kind"]) == (campaign, kind)]
            drawn = {"not_in_rollout"} if campaign == "busy" else set()
            held_out = set() if kind == "capped" else {"holdout_global", "holdout_campaign"}
            assert {outcome(row) for row in rows} == own | drawn | held_out
            assert math.isclose(sum({outcome(row): row["propensity"] for row in rows}.values()), 1)
            for name in own | drawn | held_out:
                chances = [row["propensity"] for row in rows if outcome(row) == name]
                error = math.sqrt((1 / chances[0] - 1) * len(rows))
                assert abs(sum(1 / chance for chance in chances) - len(rows)) <= 3.3 * error, (campaign, kind, name)


def test_no_draw_no_chance(log: list[dict[str, Any]]) -> None:
    """What is certain has 1: in a campaign that is live for all, a cap."""
    certain = [row for row in log if row["campaign_id"] == "idle" and row["kind"] == "capped"]

    assert {row["propensity"] for row in certain} == {1.0}


def reacts(row: dict[str, Any], action: str) -> bool:
    """What each person does after each text, and after none: known here, of a log never more than one of them."""
    taste = int(hashlib.md5(f"taste:{row['user_id']}".encode()).hexdigest()[:8], 16) / 2**32
    is_busy = row["campaign_id"] == "busy"
    return taste < {"nobody": 0.05, "calm": 0.20 if is_busy else 0.06, "bold": 0.30 if is_busy else 0.02}[action]


POLICIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "mail nobody": lambda _row: "nobody",
    "everybody calm": lambda _row: "calm",
    "everybody bold": lambda _row: "bold",
    "bold for the busy": lambda row: "bold" if row["campaign_id"] == "busy" else "calm",
}


@pytest.mark.parametrize("policy", POLICIES)
def test_the_value_of_another_policy_is_within_the_interval_that_the_log_gives(
    log: list[dict[str, Any]], policy: str
) -> None:
    """Inverse propensity weighting: a row counts where it had what the policy would have done, divided by its chance."""
    people = [row for row in log if row["kind"] == "free"]
    wanted = {row["user_id"]: POLICIES[policy](row) for row in people}
    truth = sum(reacts(row, wanted[row["user_id"]]) for row in people) / len(people)

    matches = [row for row in people if outcome(row) == LOGGED[wanted[row["user_id"]]]]
    hits = [1 / row["propensity"] for row in matches if reacts(row, wanted[row["user_id"]])]
    value = sum(hits) / len(people)
    error = math.sqrt((sum(hit**2 for hit in hits) / len(people) - value**2) / len(people))

    assert abs(value - truth) <= 2.58 * error, "the 99% interval"
    assert error < 0.01
    unweighted = sum(reacts(row, wanted[row["user_id"]]) for row in matches) / len(matches)
    if policy in ("everybody calm", "everybody bold"):
        assert abs(unweighted - truth) > 2.58 * error, "the campaigns were drawn differently: weights are needed"


def test_the_chance_of_a_mail_is_the_product_of_its_draws(log: list[dict[str, Any]]) -> None:
    shares = {("busy", "bold"): 0.5, ("busy", "calm"): 0.5, ("idle", "bold"): 0.9, ("idle", "calm"): 0.1}
    sent = {(row["campaign_id"], row["variant"], row["propensity"]) for row in log if row["verdict"] == "send"}

    assert len(sent) == len(shares)
    for campaign, variant, propensity in sent:
        assert math.isclose(propensity, TREATED[campaign] * shares[campaign, variant])
