"""A person's word on a draft: bound to its text, void after an edit, and kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.commands.review import decide, edit, show, waiting
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError, Refusal

pytestmark = pytest.mark.slow

NEXT = datetime(2026, 9, 1, 10)


def first(home: Home) -> str:
    return waiting(home)["waiting"][0]["message_id"]


def state(home: Home, message_id: str) -> str:
    with home.ledger() as ledger:
        (message,) = ledger.messages(message_ids=[message_id])
    return message.state


def test_a_draft_is_named_by_its_id_the_beginning_of_it_or_its_campaign(home: Home) -> None:
    drafts = waiting(home)["waiting"]
    chosen = drafts[0]
    same = {one["message_id"] for one in drafts if one["campaign_id"] == chosen["campaign_id"]}

    assert show(home, chosen["message_id"][:12])["message_id"] == chosen["message_id"]
    assert decide(home, [chosen["message_id"][:12]], "approve", "ana", "ok")["message_ids"] == [chosen["message_id"]]
    assert state(home, chosen["message_id"]) == "approved"
    assert set(decide(home, [chosen["campaign_id"]], "approve", "ana", "ok")["message_ids"]) == same - {
        chosen["message_id"]
    }


def test_a_name_that_fits_none_or_several_is_refused(home: Home) -> None:
    """And then nothing at all is decided, also not for the names that were right."""
    drafts = [one["message_id"] for one in waiting(home)["waiting"]]
    shared = next(letter for letter in "0123456789abcdef" if sum(one.startswith(letter) for one in drafts) > 1)

    with pytest.raises(InputError, match="drafts in review begin so; allowed is a longer part"):
        decide(home, [drafts[0], shared], "approve", "ana", "ok")
    with pytest.raises(InputError, match=r"zzz: no draft in review .* `postrider review list`"):
        decide(home, [drafts[0], "zzz"], "approve", "ana", "ok")
    with pytest.raises(InputError, match="no draft in review"):
        show(home, "")
    assert state(home, drafts[0]) == "in_review"


def test_an_edit_makes_another_text_and_voids_the_approval(home: Home) -> None:
    """The hash binds: what was approved is not what would be sent now, so a person looks again."""
    chosen = first(home)
    was = show(home, chosen)["draft"]
    decide(home, [chosen], "approve", "ana", "ok")

    changed = edit(home, chosen, "ben", "A calmer subject", [], "too loud")

    assert changed["draft_hash"] != changed["was"] == was["draft_hash"]
    now = show(home, chosen)
    assert (now["state"], now["draft"]["subject"]) == ("in_review", "A calmer subject")
    assert now["draft"]["text"] == was["text"]
    with home.ledger() as ledger:
        story = ledger.story(chosen)
    assert [(one["author"], one["edit_reason"]) for one in story["drafts"]][-1] == ("ben", "too loud")
    assert {(one["reviewer"], one["verdict"]) for one in story["reviews"]} >= {("ana", "approved")}
    assert chosen in {one["message_id"] for one in waiting(home)["waiting"]}


@pytest.mark.parametrize(
    ("subject", "replace", "words"),
    [
        (None, [], "nothing to change"),
        (None, ["no arrow"], "=>"),
        (None, ["these words are nowhere=>x"], "these words are nowhere"),
        ("two\nlines", [], "subject"),
        ("", [], "subject"),
        ("x" * 10_000, [], "subject"),
        ("{{ first_name }}", [], "{{"),
    ],
)
def test_an_edit_that_would_break_the_mail_is_refused(
    home: Home, subject: str | None, replace: list[str], words: str
) -> None:
    chosen = first(home)
    was = show(home, chosen)["draft"]["draft_hash"]

    with pytest.raises((InputError, Refusal), match=words):
        edit(home, chosen, "ben", subject, replace, "why not")

    assert show(home, chosen)["draft"]["draft_hash"] == was


def test_a_rejected_draft_never_leaves_and_an_approved_one_does(
    home: Home, small_company: Path, tick_in: Callable[[Path, Path, datetime], None]
) -> None:
    """The next tick sends what was approved, keeps what waits, and what was rejected is cancelled for good."""
    approved, rejected, left = (one["message_id"] for one in waiting(home)["waiting"][:3])
    decide(home, [approved], "approve", "ana", "ok")
    decide(home, [rejected], "reject", "ana", "not this one")

    tick_in(home.path, small_company, NEXT)

    assert (state(home, approved), state(home, rejected)) == ("sent", "cancelled")
    assert state(home, left) in ("in_review", "cancelled")
    with home.ledger() as ledger:
        assert ledger.story(rejected)["reviews"][-1]["reason"] == "not this one"
        assert ledger.verify()["ok"]
    with pytest.raises(InputError, match="no draft in review"):
        decide(home, [rejected], "approve", "ana", "after all")


def test_a_word_is_given_once(home: Home) -> None:
    """A second approval of the same draft finds nothing that waits."""
    chosen = first(home)
    decide(home, [chosen, chosen], "approve", "ana", "ok")

    with pytest.raises(InputError, match="no draft in review"):
        decide(home, [chosen], "approve", "ben", "ok too")
