"""The chain: append-only, every byte of it proven, nobody named in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.ledger.chain import code_of, commitment, event_hash
from dagster_project.ledger.schema import events as events_table

if TYPE_CHECKING:
    from .conftest import World

COLUMNS = [column.name for column in events_table.columns]


def unlocked(world: World) -> None:
    """What somebody with the database's password can do: drop the triggers."""
    if world.url.startswith("sqlite"):
        world.doctor("DROP TRIGGER events_refuse_update")
        world.doctor("DROP TRIGGER events_refuse_delete")
    else:
        world.doctor("ALTER TABLE events DISABLE TRIGGER ALL")


def busy(world: World) -> World:
    """Events of most kinds."""
    world.released(3)
    claims = world.claim(2)
    world.mark(claims[0])
    world.outcome(claims[0], "sent")
    world.ledger.suppress(reason="unsubscribed", actor="web", user_id="u2")
    world.mark(claims[1])
    world.ledger.pause("welcome", "operator", "too many complaints")
    world.ledger.put_artifact("template", "welcome/default", b"<mjml>")
    world.ledger.finish_tick(world.run_id, "done", {"welcome": (10, 3)}, {"verdicts": {"send": 3}})
    return world


def test_each_event_is_hashed_over_the_one_before(world: World) -> None:
    previous = "0" * 64
    for seq, event in enumerate(busy(world).events(), start=1):
        assert event["seq"] == seq
        assert event["prev_hash"] == previous
        previous = event_hash(previous, {name: event[name] for name in COLUMNS if name not in ("prev_hash", "hash")})
        assert event["hash"] == previous
    chain = world.ledger.verify()["chain"]
    assert (chain["ok"], chain["events"], chain["broken_at"], chain["head"]) == (True, seq, None, previous)


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET actor = 'x' WHERE seq = 2", "DELETE FROM events WHERE seq = 2"]
)
def test_the_database_refuses_to_change_an_event(world: World, statement: str) -> None:
    world.plan(3)

    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        world.doctor(statement)
    assert world.ledger.verify()["ok"]


def test_postgresql_refuses_to_truncate_the_events(postgresql_world: World) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        postgresql_world.doctor("TRUNCATE events")


def flipped(value: Any, position: int, bit: int) -> Any:
    """One bit of the stored value turned; of nothing, something."""
    if value is None:
        return "x"
    if isinstance(value, int):
        return value ^ (1 << bit)
    data = bytearray(value.encode())
    if not data:
        return "x"
    data[position % len(data)] ^= 1 << bit
    return bytes(data)


@pytest.mark.slow
def test_one_flipped_bit_in_any_column_is_found_and_named(new_world: Callable[[], World]) -> None:
    """Text on PostgreSQL cannot hold undecodable bytes, so there a bit counts only if the text stays text."""
    world = busy(new_world())
    unlocked(world)
    stored = world.events()
    is_sqlite = world.url.startswith("sqlite")

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        event=st.sampled_from(stored),
        column=st.sampled_from(COLUMNS),
        position=st.integers(0, 400),
        bit=st.integers(0, 7),
    )
    def check(event: dict[str, Any], column: str, position: int, bit: int) -> None:
        old = event[column]
        new = flipped(old, position, 3 if isinstance(old, int) or old is None else bit)
        if column in ("seq", "lease") and not isinstance(new, int):
            new = 7
        cast = ":new"
        if isinstance(new, bytes):
            if is_sqlite:
                cast = "CAST(:new AS TEXT)"
            else:
                try:
                    new = new.decode()
                except UnicodeDecodeError:
                    return
                if "\x00" in new:
                    return
        seq = event["seq"]
        if column == "seq":
            new = seq + len(stored)  # a number in use is refused by the primary key
        world.doctor(f"UPDATE events SET {column} = {cast} WHERE seq = :seq", new=new, seq=seq)
        try:
            report = world.ledger.verify()
        finally:
            now = new if column == "seq" else seq
            world.doctor(f"UPDATE events SET {column} = :old WHERE seq = :now", old=old, now=now)
        assert not report["ok"]
        assert (report["chain"]["ok"], report["chain"]["broken_at"]) == (False, seq)
        assert str(seq) in report["chain"]["detail"]

    check()
    assert world.ledger.verify()["ok"]


def test_a_removed_event_is_named(world: World) -> None:
    busy(world)
    unlocked(world)
    world.doctor("DELETE FROM events WHERE seq = 4")

    assert world.ledger.verify()["chain"]["broken_at"] == 4


def test_a_cut_off_end_is_named(world: World) -> None:
    last = busy(world).events()[-1]["seq"]
    unlocked(world)
    world.doctor("DELETE FROM events WHERE seq = :last", last=last)

    chain = world.ledger.verify()["chain"]
    assert (chain["ok"], chain["broken_at"]) == (False, last)


def test_two_events_in_each_others_place_are_named(world: World) -> None:
    busy(world)
    unlocked(world)
    for old, new in ((3, -1), (4, 3), (-1, 4)):
        world.doctor("UPDATE events SET seq = :new WHERE seq = :old", old=old, new=new)

    assert world.ledger.verify()["chain"]["broken_at"] == 3


@pytest.mark.parametrize("change", ["hash = 'x'", "seq = seq + 1", "seq = 0"])
def test_an_altered_chain_head_is_found(world: World, change: str) -> None:
    busy(world)
    world.doctor(f"UPDATE chain_head SET {change}")

    assert world.failed_checks() == {"chain"}


def test_a_missing_chain_head_is_found(world: World) -> None:
    busy(world)
    world.doctor("DELETE FROM chain_head")

    assert "chain" in world.failed_checks()


SECRET = st.text(
    # without line ends and controls, which no mail header takes
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")),
    min_size=4,
    max_size=20,
).map(lambda text: f"zq{text}qz")  # so that it cannot happen to be part of a hash


@pytest.mark.slow
def test_no_event_holds_anything_about_a_person(new_world: Callable[[], World]) -> None:
    """Whatever is in addresses, facts, drafts, servers' answers, reviewers' and operators' words: no event repeats it."""

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(secret=SECRET, local=st.text("ghjkmqwxyz", min_size=6, max_size=12))
    def check(secret: str, local: str) -> None:
        world, address = new_world(), f"zq.{local}.qz@customer.example"
        ids = world.plan(3, email=address, facts={"first_name": secret})
        words = {"subject": secret, "preheader": secret, "html": secret, "text": secret, "unsubscribe_url": secret}
        drafts = [world.draft(one, fallback_reason=secret, **words) for one in ids]
        ledger = world.ledger
        ledger.record_drafts(drafts, world.run_id, world.as_of)
        ledger.route(dict.fromkeys(ids, "in_review"), world.run_id, world.as_of)
        ledger.edit(world.draft(ids[0], secret), "editor", secret)
        ledger.review(ids[0], "approve", "reviewer", f"looks right for {address}")
        ledger.review(ids[1], "reject", "reviewer", secret)
        ledger.cancel({ids[2]: f"rejected: {address}"}, world.run_id, world.as_of)
        ledger.record_gate(world.run_id, world.as_of, "content", True, [{"keys": [address, secret]}])
        world.release()
        (claim,) = world.claim()
        assert world.mark_as(claim, world.raw(claim) + secret.encode(), secret, address) is None
        world.outcome(claim, "rejected", f"550 <{address}> {secret}")
        ledger.suppress(reason=f"asked by {address}", actor="web", address=address)
        ledger.pause("welcome", "operator", f"complaint of {address}: {secret}")
        ledger.resume("welcome", "operator", secret)
        ledger.finish_tick(world.run_id, "done", {"welcome": (3, 1)}, {"sample": [secret, address]})
        told = world.events()

        for event in told:
            for value in event.values():
                for form in (secret, secret.lower(), json.dumps(secret)[1:-1], address, local):
                    assert form not in str(value)
        assert len(told) > 20

    check()


@pytest.mark.parametrize(
    "reason, code",
    [
        (None, None),
        ("expired", "expired"),
        ("missing_fact:plan", "missing_fact:plan"),
        ("rejected: Bob would not like it", "rejected"),
        ("Bob would not like it", "stated"),
        ("bob@customer.example", "stated"),
        ("", "stated"),
    ],
)
def test_only_machine_words_of_a_reason_stand_in_an_event(reason: str | None, code: str | None) -> None:
    assert code_of(reason) == code


def test_a_commitment_depends_on_its_salt_and_every_field() -> None:
    made = {commitment(salt, {"email": email}) for salt in ("a", "b") for email in ("x@y.example", "z@y.example")}
    assert len(made) == 4
