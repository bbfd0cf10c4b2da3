"""Messages and drafts: planned once, drafted once, cancelled in time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dagster_project.ledger.rows import Drafted
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash

if TYPE_CHECKING:
    from .conftest import World


def test_a_message_is_planned_once_and_stays_as_it_was(world: World) -> None:
    world.plan(2)
    again = [world.planned(1, email="other@customer.example", facts={}), world.planned(3), world.planned(3)]

    assert world.ledger.plan(again, "run-2", world.as_of + timedelta(hours=1), "demo") == 1
    first, _, third = world.ledger.messages()
    assert (first.email, first.run_id, first.planned_as_of) == ("Person1@Customer.example", "run-1", world.as_of)
    assert third.run_id == "run-2"
    assert world.ledger.plan([], "run-2", world.as_of, "demo") == 0
    assert world.ledger.verify()["ok"]


def test_a_message_reads_back_as_it_was_planned(world: World) -> None:
    facts = {"first_name": "Zoë \u202e 李", "empty": None, "share": 0.25, "nested": {"a": [1, True]}}
    window = {"send_after": world.as_of, "send_before": world.as_of + timedelta(hours=1)}
    world.plan(facts=facts, account_id=None, locale=None, **window)

    (message,) = world.ledger.messages(states={"planned"}, source_pack="demo", message_ids=["m0001", "nobody"])

    planned = world.planned(1, facts=facts, account_id=None, locale=None, **window)
    for name in planned.__slots__:
        assert getattr(message, name) == getattr(planned, name)
    assert (message.draft_hash, message.recipe_id, message.release_id) == (None, None, None)
    assert world.ledger.messages(states=["sent"]) == world.ledger.messages(source_pack="yammer") == []


def test_a_draft_reads_back_as_it_was_recorded(world: World) -> None:
    world.plan()
    draft = world.draft("m0001", "Привет 👋", unsubscribe_url=None)

    assert world.ledger.record_drafts([draft], world.run_id, world.as_of) == 1
    ((message, stored),) = world.ledger.drafts(source_pack="demo")
    assert stored == draft
    assert (message.state, message.draft_hash, message.recipe_id) == (
        "drafted",
        draft.draft_hash,
        content_hash(draft.recipe),
    )
    assert content_hash(world.ledger.artifact(content_hash(draft.recipe))) == content_hash(draft.recipe)


def test_a_draft_that_nobody_has_judged_is_made_anew_and_one_that_was_judged_stands(world: World) -> None:
    """A tick that the content gate stopped leaves drafts behind; a mended template must reach them."""
    world.drafted()

    assert world.ledger.record_drafts([world.draft("m0001")], world.run_id, world.as_of) == 0  # the same words
    assert world.ledger.record_drafts([world.draft("m0001", "Other")], world.run_id, world.as_of) == 1
    assert [draft.text for _, draft in world.ledger.drafts()] == [world.draft("m0001", "Other").text]

    world.ledger.route({"m0001": "in_review"}, world.run_id, world.as_of)
    assert world.ledger.record_drafts([world.draft("m0001", "Third")], world.run_id, world.as_of) == 0
    assert [draft.text for _, draft in world.ledger.drafts()] == [world.draft("m0001", "Other").text]
    assert world.ledger.verify()["ok"]


def test_drafts_of_what_is_closed_are_left_out_unless_asked_for(world: World) -> None:
    world.drafted(2)
    world.ledger.cancel({"m0001": "expired"}, world.run_id, world.as_of)

    assert [message.message_id for message, _ in world.ledger.drafts()] == ["m0002"]
    assert len(world.ledger.drafts(states=None)) == 2
    assert len(world.ledger.drafts(message_ids=["m0001"], states=None)) == 1


def test_a_run_s_drafts_are_counted_by_how_they_were_made(world: World) -> None:
    """Whatever became of them; a draft that another run made instead is that run's."""
    world.drafted(3)
    recipe = {"template": "t", "knowledge": "k"}
    looked_up = world.draft("m0002", "A model said", mode="assisted", fallback_reason=None, recipe=recipe)
    world.ledger.record_drafts([looked_up], world.run_id, world.as_of)
    world.ledger.record_drafts([world.draft("m0003", "Other")], "run-2", world.as_of)
    world.ledger.cancel({"m0001": "expired"}, world.run_id, world.as_of)

    assert world.ledger.count_drafts(world.run_id) == {
        Drafted("template", "no_model", None): 1,
        Drafted("assisted", None, "k"): 1,
    }
    assert world.ledger.count_drafts("run-2").total() == 1


def test_only_what_no_worker_holds_is_cancelled(world: World) -> None:
    world.released(3)
    world.mark(world.claim()[0])
    world.claim()

    cancelled = world.ledger.cancel(
        dict.fromkeys(["m0001", "m0002", "m0003"], "expired"), None, world.as_of, "operator"
    )

    assert cancelled == 1
    assert [message.state for message in world.ledger.messages()] == ["sending", "claimed", "cancelled"]
    assert world.state("m0003") == ("cancelled", "expired")
    assert world.events()[-1]["actor"] == "operator"


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
@pytest.mark.parametrize("field", ["subject", "preheader", "html", "text"])
def test_text_that_no_database_stores_is_refused(sqlite_world: World, field: str, text: str) -> None:
    sqlite_world.plan()
    words: dict[str, Any] = {field: text}
    if text.isascii():
        with pytest.raises(InputError, match="m0001: a text holds a NUL"):
            sqlite_world.ledger.record_drafts([sqlite_world.draft("m0001", **words)], "run-1", sqlite_world.as_of)
    else:
        with pytest.raises((InputError, UnicodeEncodeError)):  # it has no hash either
            sqlite_world.ledger.record_drafts([sqlite_world.draft("m0001", **words)], "run-1", sqlite_world.as_of)
    assert sqlite_world.state()[0] == "planned"


@pytest.mark.slow
def test_ten_thousand_messages_are_planned_drafted_and_routed_in_seconds(world: World) -> None:
    """Aim 2 s on an idle machine; the limit leaves room for a busy one."""
    began = time.perf_counter()
    world.routed("approved", 10_000)
    seconds = time.perf_counter() - began

    assert seconds < 20
    assert world.ledger.verify()["ok"]
