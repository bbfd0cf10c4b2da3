"""Limits that all workers share, canaries that are watched, breakers that trip."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from dagster_project.ledger.schema import tallies
from dagster_project.lifecycle.flow import Breakers, Canary, Flow, Way, parse_flow
from dagster_project.lifecycle.message import Outcome, Result, Sending

if TYPE_CHECKING:
    from .conftest import World


def way(**flow: Any) -> Way:
    given = {"canary": None} | flow
    return Way(parse_flow(given, "delivery.yml"), "smtp", "ledgerline.example")


def released(world: World, domains: list[str], canary: Canary | None = None, **changes: Any) -> None:
    """One approved message per domain, in this order of expiry, released at once."""
    world.ledger.begin_tick(world.run_id, world.as_of, world.pack)
    planned = [
        world.planned(n, email=f"p{n}@{domain}", send_before=world.as_of + timedelta(hours=1, minutes=n), **changes)
        for n, domain in enumerate(domains, start=1)
    ]
    world.ledger.plan(planned, world.run_id, world.as_of, world.pack)
    world.ledger.record_drafts([world.draft(one.message_id) for one in planned], world.run_id, world.as_of)
    world.ledger.route({one.message_id: "approved" for one in planned}, world.run_id, world.as_of)
    again(world, canary)


def again(world: World, canary: Canary | None = None) -> None:
    """The next release of what waits."""
    world.pass_gates()
    world.ledger.release(
        world.run_id, world.as_of, world.pack, ("audience", "content"), timedelta(hours=6), "p", canary=canary
    )


def claimed(world: World, by: Way, limit: int = 100, worker: str = "worker-1") -> list[str]:
    return [claim.message.message_id for claim in world.ledger.claim(worker, limit, 60, "demo", by)]


def sent(world: World, by: Way, outcomes: list[Outcome]) -> None:
    """Claims, marks and records so many messages, with these outcomes in order."""
    claims = world.ledger.claim("worker-1", len(outcomes), 60, "demo", by)
    assert len(claims) == len(outcomes)
    sends = [
        Sending(
            one.message.message_id, one.lease, one.draft.draft_hash, world.raw(one), "a@b.example", one.message.email
        )
        for one in claims
    ]
    assert world.ledger.mark_sending(sends, world.as_of) == {}
    results = [
        Result(one.message_id, one.lease, outcome, "", None) for one, outcome in zip(sends, outcomes, strict=True)
    ]
    assert world.ledger.record_outcomes(results, world.as_of, by) == []


def test_a_channels_limit_is_shared_by_all_workers_and_opens_with_the_next_period(world: World) -> None:
    slow = way(channels={"smtp": "3/minute"})
    released(world, ["a.example"] * 8)

    assert claimed(world, slow, worker="one") == ["m0001", "m0002", "m0003"]
    assert claimed(world, slow, worker="two") == []
    opens = world.ledger.throttled_until("demo", slow)
    assert opens == world.clock.now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    world.clock.now = opens
    assert claimed(world, slow, worker="two") == ["m0004", "m0005", "m0006"]


def test_a_domains_limit_keeps_back_its_own_and_nobody_else(world: World) -> None:
    """Also where hundreds of the slow domain's stand in front of the others."""
    gentle = way(domains={"slow.example": "2/hour", "*": "100/hour"})
    released(world, ["slow.example"] * 30 + ["quick.example"] * 3)

    assert claimed(world, gentle, limit=5) == ["m0001", "m0002", "m0031", "m0032", "m0033"]
    assert claimed(world, gentle) == []
    opens = world.ledger.throttled_until("demo", gentle)
    assert opens is not None
    assert opens - world.clock.now > timedelta(minutes=45)


def test_warm_up_allows_so_many_a_day_and_then_ends(world: World) -> None:
    today = world.clock.now.date()
    row = {"sending_domain": "ledgerline.example", "recipient_domain": "*", "per_day": [1, 2]}
    released(world, ["a.example"] * 5 + ["b.example"] * 5)

    assert claimed(world, way(warm_up=[row | {"starts": str(today + timedelta(days=1))}])) == [], (
        "not before its first day"
    )
    assert claimed(world, way(warm_up=[row | {"starts": str(today)}])) == ["m0001", "m0006"], "one to each domain"
    assert claimed(world, way(warm_up=[row | {"starts": str(today - timedelta(days=1))}])) == ["m0002", "m0007"]
    assert len(claimed(world, way(warm_up=[row | {"starts": str(today - timedelta(days=2))}]))) == 6


def test_without_limits_nothing_is_throttled(world: World) -> None:
    released(world, ["a.example"] * 3)

    assert world.ledger.throttled_until("demo", way()) <= world.clock.now  # type: ignore[operator]
    assert len(claimed(world, way())) == 3
    assert world.ledger.throttled_until("demo", way()) is None


def test_a_canary_goes_first_and_the_others_follow_when_it_did_no_harm(world: World) -> None:
    watched = way(canary={"least": 2, "wait_minutes": 30})
    released(world, ["a.example"] * 6, watched.flow.canary)

    sent(world, watched, ["sent", "sent"])
    assert claimed(world, watched) == []
    assert world.ledger.throttled_until("demo", watched) is None, "it waits for a verdict, not for a limit"
    world.clock.advance(minutes=31)

    assert claimed(world, watched) == ["m0003", "m0004", "m0005", "m0006"]


def test_a_canary_that_was_rejected_pauses_its_campaign_and_no_other(world: World) -> None:
    watched = way(canary={"least": 2, "wait_minutes": 30})
    released(world, ["a.example"] * 6, watched.flow.canary)

    sent(world, watched, ["sent", "rejected"])
    world.clock.advance(minutes=31)

    assert claimed(world, watched) == []
    (control,) = world.ledger.controls()
    assert (control.name, control.campaign_id, control.actor) == ("pause", "welcome", "canary")
    assert control.reason == "canary: 1 of 2 rejected"


def test_a_canary_that_no_server_took_waits_for_one_and_is_itself_tried_again(world: World) -> None:
    watched = way(canary={"least": 2, "wait_minutes": 30}, breakers={"most_failures_in_a_row": 1000})
    released(world, ["a.example"] * 6, watched.flow.canary)

    sent(world, watched, ["deferred", "deferred"])
    world.clock.advance(minutes=31)
    sent(world, watched, ["sent", "sent"])

    assert {one.message_id for one in world.ledger.messages({"sent"})} == {"m0001", "m0002"}, "nobody else was let out"
    world.clock.advance(minutes=1)
    assert claimed(world, watched) == ["m0003", "m0004", "m0005", "m0006"]


def test_one_complaint_about_a_canary_pauses_its_campaign(world: World) -> None:
    watched = way(canary={"least": 2, "wait_minutes": 30})
    released(world, ["a.example"] * 6, watched.flow.canary)
    sent(world, watched, ["sent", "sent"])
    with world.ledger._database.write() as write:  # as a feedback loop's report will
        write.connection.execute(sa.update(tallies).values(complained=1))
    world.clock.advance(minutes=31)

    assert claimed(world, watched) == []
    assert [control.reason for control in world.ledger.controls()] == ["canary: 1 complained"]


def test_a_campaign_that_passed_today_needs_no_other_canary(world: World) -> None:
    watched = way(canary={"least": 2, "wait_minutes": 30})
    released(world, ["a.example"] * 6, watched.flow.canary)
    sent(world, watched, ["sent", "sent"])
    world.clock.advance(minutes=31)
    sent(world, watched, ["sent"])
    again(world, watched.flow.canary)

    assert len(claimed(world, watched)) == 3


def test_a_canary_that_is_watched_goes_on_under_the_next_release(world: World) -> None:
    """The hourly release does not let two more out."""
    watched = way(canary={"least": 2, "wait_minutes": 90})
    released(world, ["a.example"] * 6, watched.flow.canary)
    sent(world, watched, ["sent", "sent"])
    world.clock.advance(minutes=60)
    again(world, watched.flow.canary)

    assert claimed(world, watched) == []
    world.clock.advance(minutes=31)
    assert len(claimed(world, watched)) == 4


def test_a_small_audience_is_its_own_canary(world: World) -> None:
    watched = way(canary={})
    released(world, ["a.example"] * 6, watched.flow.canary)

    assert len(claimed(world, watched)) == 6


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        (["sent"] * 9 + ["rejected"], "1 of 10 rejected"),
        (["sent"] * 9 + ["unknown"], "1 of 10 in doubt"),
        (["deferred"] * 5, "5 refusals in a row"),
    ],
)
def test_a_breaker_pauses_the_campaign_and_rests_the_domain(world: World, outcomes: list[Outcome], why: str) -> None:
    tight = way(breakers={"from_messages": 10, "most_failures_in_a_row": 5})
    released(world, ["a.example"] * 20)

    sent(world, tight, outcomes)

    (control,) = world.ledger.controls()
    assert (control.name, control.campaign_id, control.actor, control.reason) == (
        "pause",
        "welcome",
        "breaker",
        f"breaker: {why}",
    )
    world.ledger.resume("welcome", "ana", "looked at")
    assert claimed(world, tight) == [], "the domain rests"
    world.clock.advance(minutes=61)
    assert len(claimed(world, tight)) >= 10
    assert world.failed_checks() == set()


def test_a_success_ends_a_row_of_refusals(world: World) -> None:
    tight = way(breakers={"from_messages": 100, "most_failures_in_a_row": 5})
    released(world, ["a.example"] * 12)

    sent(world, tight, ["deferred"] * 4 + ["sent"] + ["deferred"] * 4)

    assert world.ledger.controls() == []


def test_a_breaker_that_was_reset_judges_anew(world: World) -> None:
    tight = way(breakers={"from_messages": 10, "domain_rests_minutes": 1})
    released(world, ["a.example"] * 30)
    sent(world, tight, ["sent"] * 9 + ["rejected"])
    world.ledger.resume("welcome", "ana", "looked at")
    world.clock.advance(minutes=2)

    sent(world, tight, ["sent"] * 10)

    assert world.ledger.controls() == []
    assert Counter(one.state for one in world.ledger.messages()) == {"sent": 19, "rejected": 1, "approved": 10}


def test_the_defaults_are_those_of_the_reference() -> None:
    flow = Flow()

    assert flow.canary == Canary(least=50, share=0.01, wait_minutes=30, most_rejected=0.02)
    assert (flow.breakers.from_messages, flow.breakers.most_rejected) == (200, 0.05)
    assert flow.limits("smtp", "a.example", "b.example", date(2026, 3, 2)) == ()
    assert Breakers().trip is not None
