"""What a provider says of a mail, and what that settles."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.provider_events import ACCEPTED, REFUSED, Event, read_event, settled_by

BEGUN = datetime.fromisoformat("2026-09-01T09:00:00")
MAIL = "<m00001@mail.ledgerline.example>"


def line(**changed: object) -> str:
    return json.dumps(
        {"message_id": MAIL, "event": "delivered", "at": "2026-09-01T11:00:07+02:00", "mta": "x"} | changed
    )


def event(name: str, seconds: float = 5) -> Event:
    return Event(MAIL, name, BEGUN + timedelta(seconds=seconds))


def test_a_line_is_read_in_utc_whatever_else_the_provider_wrote() -> None:
    assert read_event(line(), "f:1") == Event(MAIL, "delivered", datetime.fromisoformat("2026-09-01T09:00:07"))
    assert read_event(line(message_id=MAIL.strip("<>")), "f:1").mail == MAIL
    assert read_event(line(message_id="m00001"), "f:1").mail == "m00001"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("delivered", ""),
        ("[1]", ""),
        ("[" * 100_000, ""),
        ('{"message_id": ', ""),
        (line(message_id=None), "message_id"),
        (line(message_id="<>"), "message_id"),
        (line(message_id=7), "message_id"),
        (line(event="Delivery"), "event"),
        (line(event=["sent"]), "event"),
        (line(event="unknown"), "event"),
        (line(at="2026-09-01T09:00:07"), "at"),
        (line(at="yesterday"), "at"),
        (line(at=1788254407), "at"),
        (line(at="0001-01-01T00:00:00+14:00"), "at"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_by_its_place_and_key(text: str, key: str) -> None:
    with pytest.raises(InputError, match=rf"^f:12: ({key}: )?found .*allowed: ") as refused:
        read_event(text, "f:12")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_whoever_tells_of_a_mail_had_it(name: str) -> None:
    assert settled_by([event(name)], BEGUN) == ("sent", event(name))
    assert settled_by([event(name, -3600)], BEGUN), "in whichever attempt: nobody gets it twice"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refusal_counts_for_the_attempt_in_doubt_alone(name: str) -> None:
    assert settled_by([event(name)], BEGUN) == ("rejected", event(name))
    assert settled_by([event(name, -60)], BEGUN) is None
    assert settled_by([event(name, -10)], BEGUN), "clocks differ by some seconds"


@given(
    st.lists(st.tuples(st.sampled_from(sorted(ACCEPTED | REFUSED)), st.integers(-300, 300)), max_size=6), st.randoms()
)
def test_what_may_have_arrived_is_never_called_rejected_in_whatever_order_it_is_told(
    told: list[tuple[str, int]], chance: Random
) -> None:
    events = [event(name, seconds) for name, seconds in told]
    shuffled = chance.sample(events, len(events))
    proof = settled_by(shuffled, BEGUN)
    word = proof and proof[0]
    assert word == (settled_by(events, BEGUN) or (None,))[0]
    assert (word == "sent") == any(one.name in ACCEPTED for one in events)
