"""What Python stages leave in the warehouse for gates and models."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dagster_project.lifecycle.relations import REVIEWS, review_rows


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("in_review", "in_review"),
        ("approved", "approved"),
        ("deferred", "approved"),
        ("claimed", "approved"),
        ("sent", "approved"),
        ("unknown", "approved"),
        ("cancelled", "rejected"),
    ],
)
def test_a_draft_has_a_verdict_wherever_its_message_has_got_to(state: str, verdict: str) -> None:
    """Another worker may have sent it since the content gate saw it, and a person may have rejected it: neither is lost."""
    message: Any = SimpleNamespace(message_id="m1", campaign_id="welcome", draft_hash="h", state=state)

    (row,) = review_rows([message], [], {}).to_pylist()

    assert (row["message_id"], row["draft_hash"], row["verdict"]) == ("m1", "h", verdict)


def test_without_drafts_the_table_still_has_its_columns() -> None:
    assert review_rows([], [], {}).schema == REVIEWS
