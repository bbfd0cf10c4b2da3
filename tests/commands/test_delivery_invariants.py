"""What was delivered is judged apart from what was decided: a doctored ledger fails the test that is about it, and no other."""

from __future__ import annotations

from datetime import datetime

import pytest

from dagster_project.home import Home

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)

INVARIANTS = {
    "primary_key_fct_deliveries_message_id",
    "no_delivery_over_a_cap",
    "no_delivery_in_quiet_hours",
    "no_delivery_without_consent",
    "no_delivery_to_the_held_out",
    "no_delivery_without_decision",
}
# A mail that was sent to A is said to have gone to B instead, of whom the tick knows why not.
TO_SOMEBODY_ELSE = """
    update deliveries set user_id = other.user_id
    from (select user_id, campaign_id from int_verdicts where reason = '{reason}' and reasons_all = '["{reason}"]'
          and user_id not in (select user_id from deliveries where state = 'sent')
          and campaign_id in (select campaign_id from deliveries where state = 'sent')
          order by campaign_id, user_id limit 1) as other
    where deliveries.message_id = (
        select message_id from deliveries as sent
        where sent.campaign_id = other.campaign_id and sent.state = 'sent' order by message_id limit 1
    )
"""
A_SECOND_MAIL = """
    update deliveries set user_id = other.user_id
    from (select max(user_id) as user_id, min(message_id) as message_id
          from deliveries where state = 'sent' and campaign_id = 'feature_next') as other
    where deliveries.message_id = other.message_id and deliveries.user_id <> other.user_id
"""
DOCTORED = {
    "primary_key_fct_deliveries_message_id": "insert into deliveries select * from deliveries where state <> 'sent' limit 1",
    "no_delivery_over_a_cap": A_SECOND_MAIL,
    "no_delivery_in_quiet_hours": TO_SOMEBODY_ELSE.format(reason="outside_send_window"),
    "no_delivery_without_consent": TO_SOMEBODY_ELSE.format(reason="no_consent"),
    "no_delivery_to_the_held_out": TO_SOMEBODY_ELSE.format(reason="holdout_campaign"),
    "no_delivery_without_decision": "update deliveries set message_id = 'nobody decided' where message_id = ("
    "select message_id from deliveries where state = 'sent' order by 1 limit 1)",
}


def failing(home: Home) -> set[str]:
    """The invariants that fail once the ledger, as it landed after the sends, is read again."""
    results = home.models.run(["fct_deliveries"], MORNING, "doctored")
    asked = {one.name: one for one in results if one.kind == "test" and one.name in INVARIANTS}
    assert asked.keys() == INVARIANTS
    return {name for name, one in asked.items() if one.status != "pass"}


def test_an_honest_ledger_breaks_no_invariant(home: Home) -> None:
    assert failing(home) == set()


@pytest.mark.parametrize("invariant", DOCTORED)
def test_a_doctored_ledger_fails_the_invariant_it_breaks(home: Home, invariant: str) -> None:
    with home.warehouse.connect() as connection:
        (changed,) = connection.execute(DOCTORED[invariant]).fetchone() or (0,)

    assert changed == 1
    assert failing(home) == {invariant}
