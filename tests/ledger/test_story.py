"""The story of one message, and the artifacts it rests on."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash

if TYPE_CHECKING:
    from .conftest import World


def test_the_story_leads_from_the_decision_to_the_bytes(world: World) -> None:
    claim = world.sending()
    world.outcome(claim, "sent", "250 queued")

    story = json.loads(json.dumps(world.ledger.story("m0001")))

    assert (story["decision_id"], story["run_id"], story["policy_hash"]) == ("d1", "run-1", "p" * 64)
    states = ["planned", "drafted", "approved", "claimed", "sending", "sent"]
    assert [one["state"] for one in story["states"]] == states
    assert story["recipe"] == dict(world.draft("m0001").recipe)
    assert story["drafts"][0]["draft_hash"] == story["release"]["drafts_hash"] or len(story["drafts"]) == 1
    assert story["reviews"][0]["reviewer"] == "policy"
    assert set(story["release"]["gates"]) == {"audience", "content"}
    (attempt,) = story["attempts"]
    assert (attempt["outcome"], attempt["detail"], attempt["provider_id"]) == ("sent", "250 queued", "queue-id")
    assert attempt["raw_hash"] == content_hash(world.raw(claim))
    assert [event["kind"] for event in story["events"]][-1] == "outcome"


def test_the_story_tells_of_the_inbox_and_its_states_are_states(world: World) -> None:
    """A put is an event that moves nothing."""
    claim = world.sending()
    assert world.ledger.story("m0001")["inbox"] is None
    put_at = world.clock.now.isoformat()
    world.ledger.deliver_to_inbox("m0001", "Hello", "Hello", "<p>Hello</p>")
    world.outcome(claim)
    world.clock.advance(days=1)
    world.ledger.mark_read("u1", "m0001")

    story = json.loads(json.dumps(world.ledger.story("m0001")))

    states = ["planned", "drafted", "approved", "claimed", "sending", "sent"]
    assert [one["state"] for one in story["states"]] == states
    assert [event["kind"] for event in story["events"]][-2:] == ["inbox", "outcome"]
    assert story["inbox"] == {
        "put_at": put_at,
        "attempt": 1,
        "is_kept": True,
        "expires_at": (world.clock.now + timedelta(days=29)).isoformat(),
        "read_at": world.clock.now.isoformat(),
    }
    world.clock.advance(days=29)
    world.ledger.purge_inbox()
    gone = {"put_at": put_at, "attempt": 1, "is_kept": False, "expires_at": None, "read_at": None}
    assert world.ledger.story("m0001")["inbox"] == gone


def test_an_unknown_message_has_no_story(world: World) -> None:
    with pytest.raises(InputError, match="message nobody is not in the ledger"):
        world.ledger.story("nobody")


def test_an_artifact_is_stored_once_by_its_hash(world: World) -> None:
    digest = world.ledger.put_artifact("template", "welcome/default", b"\x00<mjml>")
    events = len(world.events())

    assert digest == content_hash(b"\x00<mjml>")
    assert world.ledger.put_artifact("template", "welcome/default", b"\x00<mjml>") == digest
    assert len(world.events()) == events
    assert world.ledger.put_artifact("template", "winback/default", b"\x00<mjml>") == digest
    assert world.ledger.artifact(digest) == b"\x00<mjml>"
    with pytest.raises(InputError, match="artifact nothing is not in the ledger"):
        world.ledger.artifact("nothing")
