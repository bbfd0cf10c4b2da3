"""Calls of a model: what was paid for is on record, and an answer is not paid for twice."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from dagster_project.ledger import calls, open_ledger
from dagster_project.ledger.calls import call_fields
from dagster_project.ledger.schema import VERSION_TABLE, model_calls
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.roles.call import Answer, Question

if TYPE_CHECKING:
    from .conftest import World

QUESTION = Question("reviewer", "winback", '{"text": {}}', BaseModel, 100)
ANSWER = Answer(
    content={"opening": "It has been {{weeks}} weeks."},
    prompt=b"be kind",
    settings={"model": "m", "seed": 7, "temperature": 0},
    model="m-1",
    tokens_in=100,
    tokens_out=20,
    cost=Cost(1, 120, Decimal("0.00003")),
    seconds=0.25,
    was_called=True,
)
FAILURE = dataclasses.replace(
    ANSWER, content=None, failure="timeout", tokens_in=None, tokens_out=None, cost=Cost(1, 900, Decimal("0.0009"))
)


def test_an_answer_is_found_again_at_no_cost(world: World) -> None:
    """With the very settings it was given under; a failure is no answer, and is asked again."""
    world.ledger.record_calls("run-1", [("k1", QUESTION, ANSWER), ("k2", QUESTION, FAILURE)])

    found = world.ledger.answers(["k1", "k2", "k3"])

    assert set(found) == {"k1"}
    assert (found["k1"].content, found["k1"].settings, found["k1"].model) == (ANSWER.content, ANSWER.settings, "m-1")
    assert (found["k1"].was_called, found["k1"].tokens_in, found["k1"].failure) == (False, None, None)


def test_of_two_answers_the_later_counts(world: World) -> None:
    """Two runs may have asked at once."""
    later = dataclasses.replace(ANSWER, content={"opening": "Welcome back."})
    world.ledger.record_calls("run-1", [("k1", QUESTION, ANSWER)])
    world.ledger.record_calls("run-2", [("k1", QUESTION, later)])

    assert world.ledger.answers(["k1"])["k1"].content == later.content


def test_a_run_knows_what_it_has_spent(world: World) -> None:
    """Each at the price of its day, what nobody told as the most that it can have been; one of unknown price makes the sum unknown."""
    world.ledger.record_calls("run-1", [("k1", QUESTION, ANSWER), ("k2", QUESTION, ANSWER), ("k3", QUESTION, FAILURE)])
    world.ledger.record_calls("run-2", [("k4", QUESTION, dataclasses.replace(ANSWER, cost=Cost(1, 120, None)))])

    assert world.ledger.spent("run-1") == {"winback": Cost(3, 1140, Decimal("0.00096"))}
    assert world.ledger.spent("run-2") == {"winback": Cost(1, 120, None)}
    assert world.ledger.spent("run-3") == {}


def test_a_shared_call_is_counted_once_and_answers_each_question(world: World) -> None:
    """The row of the first has its cost; the others name it, and their answers are found like any."""
    free = dataclasses.replace(
        ANSWER, content={"opening": "B"}, cost=Cost(), tokens_in=0, tokens_out=0, asked_with="k1"
    )
    world.ledger.record_calls("run-1", [("k1", QUESTION, ANSWER), ("k2", QUESTION, free)])

    assert world.ledger.spent("run-1") == {"winback": ANSWER.cost}
    assert {key: one.content for key, one in world.ledger.answers(["k1", "k2"]).items()} == {
        "k1": ANSWER.content,
        "k2": {"opening": "B"},
    }
    assert world.ledger.verify()["ok"]
    world.doctor("UPDATE model_calls SET asked_with = NULL WHERE key = 'k2'")
    assert "model call (event" in str(world.ledger.verify()), "it would be counted twice"


CHANGES = [
    ("answer", '{"opening":"Free!"}'), ("dollars", "0"), ("model", "m-2"), ("tokens_in", 1), ("role", "writer"), ("role", None),
    ("input_hash", "0"), ("tokens_charged", 1), ("asked_with", "k0"),
]  # fmt: skip


def test_every_call_is_an_event_and_an_altered_row_is_found(world: World) -> None:
    """Words, price and model alike; of the words the chain has the hash alone."""
    world.ledger.record_calls("run-1", [("k1", QUESTION, ANSWER)])
    assert world.ledger.verify()["ok"]

    for column, value in CHANGES:
        with world.engine.begin() as connection:
            was = connection.execute(sa.select(model_calls.c[column])).scalar_one()
            connection.execute(sa.update(model_calls).values({column: value}))
        assert "model call (event" in str(world.ledger.verify()), column
        with world.engine.begin() as connection:
            connection.execute(sa.update(model_calls).values({column: was}))

    assert world.ledger.verify()["ok"]


def test_a_ledger_from_before_there_were_roles_keeps_its_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their events say less; their answers are found, and they cost what they did."""
    monkeypatch.setattr(calls, "call_fields", lambda row: call_fields({**row, "role": None}))
    world.ledger.record_calls("run-1", [("k1", QUESTION, ANSWER)])
    monkeypatch.undo()
    for column in ("role", "input_hash", "tokens_charged", "asked_with"):
        world.doctor(f"ALTER TABLE model_calls DROP COLUMN {column}")
    world.doctor("ALTER TABLE model_calls RENAME COLUMN answer TO slots")
    world.doctor("DROP INDEX drafts_by_trial")
    for column in ("trial", "caution"):
        world.doctor(f"ALTER TABLE drafts DROP COLUMN {column}")
    world.doctor("ALTER TABLE reviews DROP COLUMN route_reason")
    world.doctor(f"UPDATE {VERSION_TABLE} SET version_num = '0006'")

    with open_ledger(world.url, world.clock) as again:
        assert again.verify()["ok"]
        assert again.answers(["k1"])["k1"].content == ANSWER.content
        assert again.spent("run-1") == {"winback": Cost(1, 120, Decimal("0.00003"))}
        again.record_calls("run-2", [("k2", QUESTION, FAILURE)])
        assert again.verify()["ok"]
