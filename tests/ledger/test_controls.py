"""Kill, pause, suppress: at once, once, and on the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dagster_project.lifecycle.errors import InputError

if TYPE_CHECKING:
    from .conftest import World


def test_a_kill_stops_claims_and_marks_until_it_is_lifted(world: World) -> None:
    world.released(2)
    (claim,) = world.claim()

    assert world.ledger.kill("operator", "wrong audience") is True
    assert world.ledger.kill("operator", "again") is False
    assert world.claim() == []
    assert world.mark(claim) == "killed"
    assert world.state() == ("approved", "killed")
    assert world.ledger.resume(None, "operator", "fixed") is True
    assert world.ledger.resume(None, "operator", "fixed") is False
    assert len(world.claim(9)) == 2
    assert world.ledger.verify()["ok"]


def test_a_pause_stops_one_campaign(world: World) -> None:
    ids = world.plan(1)
    world.ledger.plan([world.planned(2, campaign_id="winback")], world.run_id, world.as_of, world.pack)
    ids.append("m0002")
    world.ledger.record_drafts([world.draft(one) for one in ids], world.run_id, world.as_of)
    world.ledger.route(dict.fromkeys(ids, "approved"), world.run_id, world.as_of)
    world.release()
    (claim,) = world.claim()

    assert world.ledger.pause("welcome", "operator", "complaints") is True
    assert world.ledger.pause("welcome", "operator", "complaints") is False
    assert world.mark(claim) == "paused"
    assert [one.message.campaign_id for one in world.claim(9)] == ["winback"]
    assert world.ledger.resume("welcome", "operator", "fine") is True
    assert world.ledger.resume("winback", "operator", "was not paused") is False
    assert len(world.claim(9)) == 1


def test_only_controls_in_force_are_listed(world: World) -> None:
    world.ledger.pause("welcome", "ana", "one")
    world.ledger.pause("winback", "ana", "two")
    world.ledger.resume("welcome", "ana", "over")
    world.ledger.kill("ben", "three")

    listed = [(one.name, one.campaign_id, one.value, one.actor, one.reason) for one in world.ledger.controls()]
    assert listed == [("kill", None, "on", "ben", "three"), ("pause", "winback", "on", "ana", "two")]


def test_a_suppression_is_recorded_once(world: World) -> None:
    for _ in range(2):
        world.ledger.suppress(reason="bounced", actor="smtp", address=" Ana@Customer.EXAMPLE", channel="email")
    world.ledger.suppress(reason="bounced", actor="smtp", address="ana@customer.example")

    first, second = world.ledger.suppressions()
    assert (first.address, first.channel, first.user_id) == ("ana@customer.example", "email", None)
    assert second.channel is None
    assert first.suppression_id != second.suppression_id


@pytest.mark.parametrize("who", [{}, {"user_id": ""}, {"address": "  "}])
def test_a_suppression_names_someone(world: World, who: dict[str, str]) -> None:
    with pytest.raises(InputError, match="found neither"):
        world.ledger.suppress(reason="bounced", actor="smtp", **who)
