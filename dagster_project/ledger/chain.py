"""The audit chain: append-only events, each hashed over the one before it.

`hash = sha256(prev_hash + canonical JSON of the event's fields)`. The one row of `chain_head` is locked by whoever appends, so
events are numbered without gaps in the order in which their transactions commit: for any two events, the smaller `seq` was
committed first. Several checks (a suppression before a send, say) rest on that.

Lock order, against deadlocks: message rows by ascending `message_id`, then the head. What must not change between being checked and
being committed (suppressions, controls, releases) is read after the head is locked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc

from dagster_project.ledger.bulk import insert_tuples
from dagster_project.ledger.schema import chain_head, events
from dagster_project.lifecycle.errors import Refusal

GENESIS = "0" * 64
HASHED = tuple(column.name for column in events.columns if column.name not in ("prev_hash", "hash"))
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}(:[a-z0-9_]{1,64})?")


def canonical_json(value: object) -> str:
    """Sorted keys, no spaces, ASCII only: the same text for the same value everywhere. Times become ISO text."""
    return _ENCODER.encode(value)


def _json_default(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_json_default)
_PLAIN_ENCODER = json.JSONEncoder(separators=(",", ":"))


def new_salt() -> str:
    return secrets.token_hex(16)


def commitment(salt: str, fields: Mapping[str, object]) -> str:
    """SHA-256 over a salt and an erasable row. It proves the row while the row is there, and tells nothing once it is gone."""
    return hashlib.sha256((salt + canonical_json(fields)).encode()).hexdigest()


def code_of(reason: str | None) -> str | None:
    """The part of a reason that may stand in an event: a word like `expired` or `missing_fact:plan`; of free text, what is
    before the colon when that is a word (`rejected: …` gives `rejected`), else `stated`."""
    if reason is None or _CODE.fullmatch(reason):
        return reason
    word = reason.partition(":")[0]
    return word if _CODE.fullmatch(word) else "stated"


def event_hash(prev_hash: str, fields: Mapping[str, object]) -> str:
    return hashlib.sha256((prev_hash + canonical_json(fields)).encode()).hexdigest()


class Write:
    """One write transaction: `now` is the same for all its rows; its events are written when it ends."""

    def __init__(self, connection: sa.Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self._recorded_at = now.isoformat()
        self._pending: list[tuple[Any, ...]] = []
        self._head: tuple[int, str, int] | None = None
        self._seq, self._hash, self._lease = 0, "", 0

    def lock_head(self) -> None:
        """Wait until no other transaction can append before this one ends. Lock message rows first."""
        if self._head is None:
            row = self.connection.execute(
                sa.select(chain_head.c.seq, chain_head.c.hash, chain_head.c.lease).with_for_update()
            ).one()
            self._head = (row.seq, row.hash, row.lease)
            self._seq, self._hash, self._lease = self._head

    def next_seq(self) -> int:
        """The number the next appended event will have."""
        self.lock_head()
        return self._seq + 1

    def next_lease(self) -> int:
        """A lease higher than any given out before."""
        self.lock_head()
        self._lease += 1
        return self._lease

    def append(
        self,
        kind: str,
        *,
        actor: str,
        message_id: str | None = None,
        campaign_id: str | None = None,
        run_id: str | None = None,
        as_of: datetime | None = None,
        from_state: str | None = None,
        to_state: str | None = None,
        reason: str | None = None,
        lease: int | None = None,
        payload: Mapping[str, object] | None = None,
    ) -> int:
        """Add one event; returns its seq. The payload holds ids, hashes and counts: nothing about a person."""
        self.lock_head()
        self._seq += 1
        event: dict[str, Any] = {  # in the order of their names, so that encoding need not sort
            "actor": actor,
            "as_of": as_of.isoformat() if as_of else None,
            "campaign_id": campaign_id,
            "from_state": from_state,
            "kind": kind,
            "lease": lease,
            "message_id": message_id,
            "payload": canonical_json(payload) if payload else "{}",
            "reason": code_of(reason) if reason else None,
            "recorded_at": self._recorded_at,
            "run_id": run_id,
            "seq": self._seq,
            "to_state": to_state,
        }
        digest = hashlib.sha256((self._hash + _PLAIN_ENCODER.encode(event)).encode()).hexdigest()
        self._pending.append((*event.values(), self._hash, digest))
        self._hash = digest
        return self._seq

    def flush(self) -> None:
        """Write the events and move the head, as the last statements before the commit."""
        if self._head is None:
            return
        if self._pending:
            insert_tuples(self.connection, events, (*sorted(HASHED), "prev_hash", "hash"), self._pending)
        seq, digest, lease = self._head
        moved = self.connection.execute(
            sa.update(chain_head)
            .where(chain_head.c.seq == seq, chain_head.c.hash == digest, chain_head.c.lease == lease)
            .values(seq=self._seq, hash=self._hash, lease=self._lease)
        )
        if moved.rowcount != 1:
            raise Refusal(f"the ledger's chain head is not where it was read (event {seq}); nothing was written")
        self._pending, self._head = [], None


@dataclasses.dataclass(frozen=True, slots=True)
class ChainReport:
    """What recomputing the chain found. `broken_at` is the seq of the first event that does not hold."""

    events: int
    ok: bool
    broken_at: int | None
    detail: str
    head: str  # kept elsewhere, it also proves that the end of the chain was not cut off


def verify_chain(connection: sa.Connection) -> ChainReport:
    """Recompute every hash from the stored values, in order."""
    head = connection.execute(sa.select(chain_head.c.seq, chain_head.c.hash)).one_or_none()
    if head is None:
        return ChainReport(0, False, None, "the chain head is missing", "")
    count, digest = 0, GENESIS
    try:
        for row in _stored_events(connection):
            expected = count + 1
            if row["seq"] != expected:
                return ChainReport(count, False, expected, f"event {expected} is missing or renumbered", head.hash)
            if row["prev_hash"] != digest:
                return ChainReport(count, False, expected, f"event {expected} does not follow event {count}", head.hash)
            digest = event_hash(digest, {name: row[name] for name in HASHED})
            if row["hash"] != digest:
                return ChainReport(count, False, expected, f"event {expected} was altered", head.hash)
            count = expected
    except sqlalchemy.exc.DBAPIError as error:
        return ChainReport(count, False, count + 1, f"event {count + 1} cannot be read: {error.orig}", str(head.hash))
    if (head.seq, head.hash) != (count, digest):
        at = min(count, head.seq) + 1 if head.seq != count else count
        return ChainReport(
            count, False, at, f"the chain ends at event {count}, its head says {head.seq}", str(head.hash)
        )
    return ChainReport(count, True, None, f"{count} events, each hashed over the one before", digest)


def _stored_events(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    """Events by seq, exactly as stored. SQLite would raise on text that an altered byte left undecodable, so text is read as
    bytes there and decoded here."""
    if connection.dialect.name != "sqlite":
        for row in connection.execute(sa.select(events).order_by(events.c.seq)).mappings():
            yield dict(row)
        return
    columns = [
        sa.cast(column, sa.LargeBinary).label(column.name) if isinstance(column.type, sa.Text) else column
        for column in events.columns
    ]
    for row in connection.execute(sa.select(*columns).order_by(events.c.seq)).mappings():
        yield {
            name: value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
            for name, value in row.items()
        }
