"""What a run would ask is counted as it would be asked."""

from __future__ import annotations

import math

import pytest

from dagster_project.lifecycle.expecting import CHARS_PER_TOKEN, Rehearsal, expected
from dagster_project.lifecycle.roles.call import Answer, Question
from dagster_project.lifecycle.roles.writer import WriterRequest, writer_question
from dagster_project.lifecycle.template import SlotSpec

PROMPTS = {"writer": b"w" * 400, "reviewer": b"r" * 800, "policy": b"p" * 1200}


def text(number: int, campaign: str = "winback") -> Question:
    slots = {"opening": SlotSpec(description="Say hello.", max_chars=80)}
    facts = {"weeks": number}
    return writer_question(
        WriterRequest(campaign, "default", campaign.title(), "en", "warm", "v1", slots, facts, ("first_name",))
    )


@pytest.mark.parametrize("per_call", [1, 3, 9])
@pytest.mark.parametrize("texts", [0, 1, 4, 9])
def test_a_text_is_a_call_and_a_part_of_two(texts: int, per_call: int) -> None:
    """Each campaign's readers share their own calls; tokens are of all that is sent."""
    asked = [(f"{name}{n}", text(n, name)) for name in ("winback", "welcome") for n in range(texts)]
    found = expected(asked, PROMPTS, per_call)

    assert sum(one.calls for one in found.values()) == 2 * (texts + 2 * math.ceil(texts / per_call))
    if texts:
        own = sum(len(one.content) + 400 for _, one in asked) // CHARS_PER_TOKEN
        assert sum(one.tokens_in for one in found.values()) > own
        assert found["winback"].tokens_out == found["welcome"].tokens_out


def test_what_is_known_is_not_expected() -> None:
    """Asked again, nothing is missing; what isn't known says so."""
    known: dict[str, Answer] = {}
    rehearsal = Rehearsal(lambda keys: {key: known[key] for key in keys if key in known}, PROMPTS, {}, 3)
    asked = [text(1), text(2)]

    assert {one.failure for one in rehearsal.ask(asked)} == {"not_asked"}
    assert rehearsal.missing["winback"].calls == 2 + 2
    again = Rehearsal(lambda keys: dict.fromkeys(keys, Answer({"opening": "Hello."})), PROMPTS, {}, 3)
    assert [one.content for one in again.ask(asked)] == [{"opening": "Hello."}] * 2
    assert not again.missing
