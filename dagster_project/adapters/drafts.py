"""Drafts on their way into the ledger and the warehouse, so many at a time: 100,000 of them are 1.5 GB."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from dagster_project.lifecycle.campaign import CampaignPolicy
from dagster_project.lifecycle.drafting import GROUP, Batch
from dagster_project.lifecycle.message import Draft, State
from dagster_project.lifecycle.relations import WaitingMessage, draft_rows
from dagster_project.lifecycle.roles.call import Answer


class Ledger(Protocol):
    """What drafts need of a ledger."""

    def put_artifacts(self, contents: Mapping[str, bytes]) -> object: ...
    def record_drafts(self, drafts: Sequence[Draft], run_id: str, as_of: datetime) -> int: ...
    def drafts(
        self, message_ids: Collection[str], *, states: Collection[State] | None
    ) -> Sequence[tuple[Any, Draft]]: ...


def record_in_groups(ledger: Ledger, batches: Iterable[Batch], run_id: str, as_of: datetime) -> Batch:
    """Record each batch before the next one is made; returns what is left to tell: failures, answers and objections, no drafts.

    Each is a transaction of its own. A run that is stopped between two leaves messages that are planned and not drafted: the
    content gate stops at them, and the next run drafts them.
    """
    failures: dict[str, str] = {}
    answers: list[Answer] = []
    objections: list[str] = []
    rejections: list[str] = []
    for batch in batches:
        ledger.put_artifacts(batch.artifacts)
        ledger.record_drafts(batch.drafts, run_id, as_of)
        failures |= batch.failures
        answers += batch.answers
        objections += batch.objections
        rejections += batch.rejections
        del batch  # or it would live until the next one is made
    return Batch((), failures, {}, tuple(answers), tuple(objections), tuple(rejections))


def draft_pieces(
    ledger: Ledger, waiting: Sequence[WaitingMessage], policies: Mapping[str, CampaignPolicy], at_once: int = GROUP
) -> Iterator[pa.Table]:
    """The relation of drafts, `at_once` rows in a piece; one empty piece of no messages."""
    for start in range(0, max(len(waiting), 1), at_once):
        some = waiting[start : start + at_once]
        # In whatever state they are by now: a worker may have sent one meanwhile, and its draft is its draft.
        yield draft_rows(
            some,
            {
                message.message_id: draft
                for message, draft in ledger.drafts([message.message_id for message in some], states=None)
            },
            policies,
        )
