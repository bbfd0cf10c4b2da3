"""However many drafts there are, few of them are in memory, and none is lost between two groups."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.drafts import draft_pieces, record_in_groups
from dagster_project.adapters.templates import load_phrases
from dagster_project.adapters.warehouse import Warehouse
from dagster_project.ledger import Ledger, open_ledger
from dagster_project.lifecycle.drafting import Batch, draft_all, draft_in_groups
from dagster_project.lifecycle.message import Draft, Mode, PlannedMessage, content_hash
from tests.contented import Contented, Policy
from tests.ledgers import new_ledger
from tests.shipped import shipped_templates

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2026, 11, 21, 9)
CAMPAIGNS = ("winback", "welcome", "payment_failed")
GOOD = {"opening": "Everything in {{account_name}} is as you left it.", "invitation": "Open one report."}
LETTER = {
    "subject": "Your reports are here",
    "preheader": "Pick up where you left off.",
    "paragraph_1": "Everything in {{account_name}} is as you left it.",
    "paragraph_2": "",
    "paragraph_3": "",
    "cta_id": "main",
}


def planned(number: int, campaign: str = "winback", **facts: object) -> PlannedMessage:
    return PlannedMessage(
        message_id=f"m{number:05}",
        campaign_id=campaign,
        user_id=f"u{number}",
        account_id=None,
        occurrence_key="once",
        decision_id=f"d{number}",
        policy_hash="p" * 64,
        message_type="product_news",
        channel="email",
        variant="default",
        locale="en",
        email=f"u{number}@mail.example",
        facts={"first_name": f"Ana{number}", "account_name": "Quuxbury", "weeks_away": 4 + number % 30} | facts,
        send_after=None,
        send_before=None,
    )


def given(answers: Contented | None, mode: Mode = "template") -> dict[str, Any]:
    return {
        "policies": {name: Policy("We miss you", mode if name == "winback" else "template") for name in CAMPAIGNS},
        "template_of": shipped_templates().get,
        "sender_name": "Ledgerline",
        "postal_address": "Street 1",
        "unsubscribe_url": lambda message: f"https://mail.ledgerline.example/u/{message.user_id}",
        "phrases": load_phrases(ROOT / "templates"),
        "model": answers.model if answers else None,
    }


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(new_ledger(tmp_path / "ledger.sqlite"), utc_now) as opened:
        opened.begin_tick("run-1", AS_OF, "demo")
        yield opened


def live_drafts() -> int:
    return sum(type(one) is Draft for one in gc.get_objects())


@pytest.mark.parametrize(("mode", "slots"), [("template", {}), ("assisted", GOOD), ("autonomous", LETTER)])
@pytest.mark.parametrize("at_once", [1, 7, 30, 1000])
def test_groups_have_the_same_drafts_as_one_batch(mode: Mode, slots: dict[str, str], at_once: int) -> None:
    """In the order of the messages, with failures where they belong; each pattern is asked for once, however many groups there are."""
    messages = [
        planned(number, CAMPAIGNS[number % 3], plan="team", payment_failed_on="2026-11-20") for number in range(30)
    ]
    messages[4:6] = [planned(4, weeks_away=None), planned(5, "unheard_of")]
    whole, parted = Contented(slots), Contented(slots)

    one = draft_all(messages, **given(whole, mode))
    groups = list(draft_in_groups(messages, **given(parted, mode), at_once=at_once))

    assert [made for group in groups for made in group.drafts] == list(one.drafts)
    assert {key: line for group in groups for key, line in group.failures.items()} == one.failures
    assert sorted(one.failures) == ["m00004", "m00005"]
    assert [answer for group in groups for answer in group.answers] == list(one.answers) == list(groups[0].answers)
    assert [request.key for request in parted.asked] == [request.key for request in whole.asked]
    assert {made.mode for made in one.drafts} == {"template", mode}
    for group in groups:
        assert len(group.drafts) + len(group.failures) <= at_once
        for made in group.drafts:
            lacking = {part for part, digest in made.recipe.items() if digest not in group.artifacts}
            assert lacking == {"policy", "facts", "context"}, "a group's recipes point at its own artifacts"
        assert all(content_hash(content) == digest for digest, content in group.artifacts.items())


def test_no_messages_are_one_empty_group() -> None:
    """What is told of answers is told all the same."""
    assert list(draft_in_groups([], **given(Contented(GOOD), "assisted"))) == [Batch((), {}, {}, (), ())]


@pytest.mark.slow
def test_memory_holds_no_more_than_one_group_of_drafts(ledger: Ledger, tmp_path: Path) -> None:
    """Counted, not timed: while each group of 20 is recorded, and while each piece of the relation is made."""
    messages = [planned(number) for number in range(200)]
    ledger.plan(messages, "run-1", AS_OF, "demo")
    before, most = live_drafts(), []

    def counted(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            most.append(live_drafts() - before)
            yield batch
            del batch

    batches = counted(draft_in_groups(messages, **given(Contented(GOOD), "assisted"), at_once=20))
    left = record_in_groups(ledger, batches, "run-1", AS_OF)
    pieces = counted(draft_pieces(ledger, ledger.messages(source_pack="demo"), {}, at_once=20))
    rows = Warehouse(tmp_path / "warehouse.duckdb", threads=1).write_pieces("drafts", pieces)

    assert (len(most), rows) == (20, 200)
    assert max(most) == 20
    assert (left.drafts, left.artifacts, len(left.answers)) == ((), {}, 12), (
        "4, 8, 13 and 26 weeks begin the ranges, and three roles have a part in each"
    )


def test_what_is_recorded_in_groups_is_what_is_read(ledger: Ledger, tmp_path: Path) -> None:
    """Every draft once in the ledger and in the relation, in the order of the messages; one without a draft has its row."""
    messages = [planned(number) for number in range(25)]
    messages[3] = planned(3, weeks_away=None)
    ledger.plan(messages, "run-1", AS_OF, "demo")
    warehouse = Warehouse(tmp_path / "warehouse.duckdb", threads=1)

    left = record_in_groups(ledger, draft_in_groups(messages, **given(None), at_once=4), "run-1", AS_OF)
    rows = warehouse.write_pieces("drafts", draft_pieces(ledger, ledger.messages(source_pack="demo"), {}, at_once=4))
    read = warehouse.rows("select message_id, subject, draft_hash, state from main.drafts")

    made = {one.message_id: one for one in draft_all(messages, **given(None)).drafts}
    assert sorted(left.failures) == ["m00003"]
    assert rows == 25
    assert [row["message_id"] for row in read] == [one.message_id for one in messages]
    for row in read:
        draft = made.get(row["message_id"])
        assert (row["draft_hash"], row["subject"]) == (draft and draft.draft_hash, draft and draft.subject)
        assert row["state"] == ("drafted" if draft else "planned")


def test_a_run_that_is_stopped_between_two_groups_is_finished_by_the_next(ledger: Ledger) -> None:
    """What was recorded stays; the rest is planned and not drafted until then."""
    messages = [planned(number) for number in range(10)]
    ledger.plan(messages, "run-1", AS_OF, "demo")

    def stopped(batches: Iterator[Batch]) -> Iterator[Batch]:
        yield next(batches)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_in_groups(ledger, stopped(draft_in_groups(messages, **given(None), at_once=4)), "run-1", AS_OF)
    states = [message.state for message in ledger.messages(source_pack="demo")]
    record_in_groups(ledger, draft_in_groups(messages, **given(None), at_once=4), "run-1", AS_OF)

    assert states == ["drafted"] * 4 + ["planned"] * 6
    assert {message.state for message in ledger.messages(source_pack="demo")} == {"drafted"}


def test_pieces_replace_a_table_whole_or_not_at_all(tmp_path: Path) -> None:
    """A piece that can't be made leaves the table as it was."""
    warehouse = Warehouse(tmp_path / "warehouse.duckdb", threads=1)
    import pyarrow as pa

    assert warehouse.write_pieces("numbers", [pa.table({"n": [1, 2]}), pa.table({"n": [3]})]) == 3

    def broken() -> Iterator[pa.Table]:
        yield pa.table({"n": [9]})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        warehouse.write_pieces("numbers", broken())
    assert [row["n"] for row in warehouse.rows("select n from main.numbers")] == [1, 2, 3]
