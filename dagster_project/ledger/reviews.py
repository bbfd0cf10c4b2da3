"""Reviews: who approved which draft. An approval binds to the draft's hash, so an edit voids it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from dagster_project.ledger.bulk import insert_rows
from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.database import among
from dagster_project.ledger.messages import store_drafts
from dagster_project.ledger.rows import ReviewRow, ReviewVerdict
from dagster_project.ledger.schema import messages, releases, reviews
from dagster_project.ledger.transitions import Held, Move, lock_messages, move
from dagster_project.lifecycle.errors import InputError, Refusal
from dagster_project.lifecycle.message import Draft

EDITED = "edited"  # why a draft went to a person
POLICY = "policy"  # the reviewer when the campaign asks for none
Route = Literal["approved", "in_review"]


def review_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a review commits to."""
    fields = {name: row[name] for name in ("message_id", "revision", "draft_hash", "verdict", "reviewer", "reason")}
    return fields | ({"route_reason": row["route_reason"]} if row["route_reason"] else {})


def route(
    write: Write, routes: Mapping[str, Route], run_id: str, as_of: datetime, reasons: Mapping[str, str]
) -> dict[str, str]:
    """drafted → approved (by policy) or in_review, each for its reason, if one is given. What has left `drafted` since it was read,
    because a tick on another host routed it or somebody cancelled it, stands; returned is message_id → what stands, where it is not what was asked.

    Refusal, with nothing routed, when one of them has no draft yet.
    """
    held = lock_messages(write, routes)
    rows, moves, moved_on = [], [], []
    seq = write.next_seq()
    for one in held.values():
        to = routes[one.message_id]
        if to not in ("approved", "in_review"):
            raise InputError(f"message {one.message_id}: route {to!r}; allowed: approved, in_review")
        if one.state == "planned":
            raise Refusal(f"message {one.message_id} is planned: only a drafted one is routed")
        if one.state != "drafted":
            moved_on.append(one)
            continue
        reviewer, why = POLICY if to == "approved" else None, reasons.get(one.message_id)
        row = _review_row(one, to, reviewer, write, run_id, as_of, seq + len(rows), why)
        rows.append(row)
        moves.append(Move(one, to, "routed", payload=_payload(row)))
    move(write, moves, actor=POLICY, run_id=run_id, as_of=as_of)
    insert_rows(write.connection, reviews, rows)
    stands = _routed_to(write.connection, moved_on) if moved_on else {}
    return {key: to for key, to in stands.items() if to != routes[key]}


def _routed_to(connection: sa.Connection, held: Sequence[Held]) -> dict[str, str]:
    """message_id → where its draft was sent, whatever a person has said since; its state where it was never routed."""
    judged = {
        row.message_id: "approved" if row.reviewer == POLICY else "in_review"
        for row in read(connection, [one.message_id for one in held], None)
    }
    return {one.message_id: judged.get(one.message_id, one.state) for one in held}


def _review_row(
    held: Held,
    verdict: ReviewVerdict,
    reviewer: str | None,
    write: Write,
    run_id: str | None,
    as_of: datetime | None,
    seq: int,
    route_reason: str | None,
) -> dict[str, Any]:
    return {
        "message_id": held.message_id,
        "revision": held.draft_revision,
        "draft_hash": held.draft_hash,
        "verdict": verdict,
        "reviewer": reviewer,
        "reason": None,
        "reviewed_at": write.now if reviewer else None,
        "run_id": run_id,
        "as_of": as_of,
        "requested_at": write.now,
        "salt": new_salt(),
        "seq": seq,
        "route_reason": route_reason,
    }


def _payload(row: Mapping[str, Any]) -> dict[str, object]:
    return {
        "revision": row["revision"],
        "draft_hash": row["draft_hash"],
        "verdict": row["verdict"],
        "commitment": commitment(row["salt"], review_fields(row)),
    }


def review(
    write: Write,
    message_id: str,
    verdict: Literal["approve", "reject"],
    reviewer: str,
    reason: str,
    draft_hash: str | None,
) -> None:
    """in_review → approved, or cancelled. Refusal when it is not in review, or the draft is not the one that was read."""
    if verdict not in ("approve", "reject"):
        raise InputError(f"verdict {verdict!r}; allowed: approve, reject")
    if not reviewer.strip():
        raise InputError("a review needs the reviewer's name; found an empty one")
    held = lock_messages(write, [message_id])[message_id]
    if held.state != "in_review":
        raise Refusal(f"message {message_id} is {held.state}: there is nothing to review")
    if draft_hash is not None and draft_hash != held.draft_hash:
        raise Refusal(
            f"message {message_id} has draft {held.draft_hash}, the verdict is on {draft_hash}: "
            "it was edited since, read it again"
        )
    changes: dict[str, Any] = {
        "verdict": "approved" if verdict == "approve" else "rejected",
        "reviewer": reviewer,
        "reason": reason,
        "reviewed_at": write.now,
        "salt": new_salt(),
        "seq": write.next_seq(),
    }
    row = changes | {"message_id": message_id, "revision": held.draft_revision, "draft_hash": held.draft_hash}
    is_this = sa.and_(reviews.c.message_id == message_id, reviews.c.revision == held.draft_revision)
    routed = write.connection.execute(sa.select(reviews.c.route_reason).where(is_this))
    row |= {"route_reason": routed.scalar()}
    given = write.connection.execute(
        sa.update(reviews).where(is_this, reviews.c.verdict == "in_review").values(changes)
    )
    if given.rowcount != 1:
        raise Refusal(f"message {message_id} has no open review of its draft")
    moved = (
        Move(held, "approved", "reviewed", payload=_payload(row))
        if verdict == "approve"
        else Move(held, "cancelled", "reviewed", reason=f"rejected: {reason}", payload=_payload(row))
    )
    move(write, [moved], actor=reviewer)


def edit(write: Write, draft: Draft, editor: str, reason: str) -> None:
    """Replace the draft of an in_review or approved message. Its approval and its place in a release are void: it is reviewed anew."""
    held = lock_messages(write, [draft.message_id])[draft.message_id]
    if held.state not in ("in_review", "approved"):
        raise Refusal(f"message {draft.message_id} is {held.state}: only one in review or approved can be edited")
    if draft.draft_hash == held.draft_hash:
        raise Refusal(f"message {draft.message_id}: the text is the one it has; nothing was changed")
    seq = write.next_seq()
    (stored,) = store_drafts(write, [(held, draft)], "in_review", None, None, editor, reason)
    row = _review_row(held, "in_review", None, write, None, None, seq, EDITED)
    # No verdict yet, so nothing to bind to: the event of the verdict will.
    row |= {"revision": stored["revision"], "draft_hash": stored["draft_hash"]}
    write.connection.execute(sa.insert(reviews), row)


def read(
    connection: sa.Connection, message_ids: Collection[str] | None, verdict: ReviewVerdict | None
) -> list[ReviewRow]:
    """The review of each message's current draft; messages without one are left out."""
    query = (
        sa.select(
            reviews.c.message_id,
            messages.c.campaign_id,
            reviews.c.draft_hash,
            reviews.c.verdict,
            reviews.c.reviewer,
            reviews.c.reason,
            reviews.c.reviewed_at,
            reviews.c.run_id,
            reviews.c.as_of,
            reviews.c.requested_at,
            reviews.c.route_reason,
        )
        .join_from(
            reviews,
            messages,
            sa.and_(reviews.c.message_id == messages.c.message_id, reviews.c.revision == messages.c.draft_revision),
        )
        .order_by(messages.c.planned_as_of, messages.c.message_id)
    )
    if message_ids is not None:
        query = query.where(among(connection, reviews.c.message_id, message_ids))
    if verdict is not None:
        query = query.where(reviews.c.verdict == verdict)
    return [ReviewRow(*row) for row in connection.execute(query)]


def approved_by_people(connection: sa.Connection, now: datetime) -> list[str]:
    """message_ids in `approved` whose current draft a person approved, by id: those that no release has looked at since, and those
    that are released and due. What a release left out waits for the next tick, what was put off for its time."""
    last_release = sa.select(sa.func.max(releases.c.seq)).where(releases.c.source_pack == messages.c.source_pack)
    is_new = reviews.c.seq > sa.func.coalesce(last_release.scalar_subquery(), 0)
    is_due = sa.or_(messages.c.retry_at.is_(None), messages.c.retry_at <= now)
    query = (
        sa.select(messages.c.message_id)
        .join(
            reviews,
            sa.and_(reviews.c.message_id == messages.c.message_id, reviews.c.revision == messages.c.draft_revision),
        )
        .where(
            messages.c.state == "approved",
            reviews.c.verdict == "approved",
            reviews.c.reviewer != POLICY,
            sa.or_(is_new, sa.and_(messages.c.release_id.is_not(None), is_due)),
        )
        .order_by(messages.c.message_id)
    )
    return list(connection.execute(query).scalars())
