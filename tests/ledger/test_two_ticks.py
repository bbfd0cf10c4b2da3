"""Two hosts with one ledger tick at the same hour: whatever one does between two calls of the other, both get to their end."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from dagster_project.ledger import open_ledger

if TYPE_CHECKING:
    from .conftest import World


def tick(world: World, numbers: list[int], accepted: Counter[str]) -> Iterator[None]:
    """The ledger calls of one tick in their order. It can be held up at each `yield`."""
    ledger, run_id, as_of, pack = world.ledger, world.run_id, world.as_of, world.pack
    ledger.begin_tick(run_id, as_of, pack)
    yield
    ledger.cancel({}, run_id, as_of)
    yield
    ledger.plan([world.planned(number) for number in numbers], run_id, as_of, pack)
    yield
    unrouted = ledger.messages(("planned", "drafted"), pack)
    yield
    ledger.record_drafts([world.draft(one.message_id) for one in unrouted], run_id, as_of)
    yield
    drafted = ledger.messages(("drafted",), pack)
    yield
    assert ledger.route({one.message_id: "approved" for one in drafted}, run_id, as_of) == {}
    yield
    world.release()
    yield
    while claims := ledger.claim(run_id, 9, 60):
        yield
        marked = [claim for claim in claims if world.mark(claim) is None]
        yield
        accepted.update(claim.message.message_id for claim in marked)
        assert [gone for claim in marked for gone in world.outcome(claim)] == []
        yield


@pytest.mark.slow
def test_two_ticks_of_one_hour_end_well_and_mail_nobody_twice(world: World) -> None:
    """One is held up at each of its calls while the other runs through; then both go step by step, one ahead by some."""
    accepted: Counter[str] = Counter()
    steps = 12
    with open_ledger(world.url, world.clock) as other:
        for number in range(2 * steps):
            ids = [2 * number + 1, 2 * number + 2]
            first = tick(dataclasses.replace(world, run_id=f"a{number}"), ids, accepted)
            second = tick(dataclasses.replace(world, run_id=f"b{number}", ledger=other), ids, accepted)
            for _ in itertools.islice(first, number % steps):
                pass
            if number < steps:
                list(second)
            for _ in itertools.zip_longest(first, second):
                pass

    assert accepted == {f"m{number:04}": 1 for number in range(1, 4 * steps + 1)}
    assert {one.state for one in world.ledger.messages()} == {"sent"}
    assert world.failed_checks(accepted=accepted) == set()
