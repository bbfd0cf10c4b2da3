"""Messages and their drafts: planned from decisions, drafted, cancelled, read back."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.artifacts import store
from dagster_project.ledger.bulk import insert_rows
from dagster_project.ledger.chain import Write, canonical_json, commitment, new_salt
from dagster_project.ledger.database import among, utc
from dagster_project.ledger.rows import Drafted, Message
from dagster_project.ledger.schema import artifacts, drafts, messages, recipients
from dagster_project.ledger.transitions import CANCELLABLE, OPEN, Held, Move, lock_messages, move
from dagster_project.lifecycle.address import canonical
from dagster_project.lifecycle.caps import read_caps
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Draft, PlannedMessage, State, content_hash

_DRAFT_CIRCUMSTANCES = ("mode", "mode_asked", "fallback_reason", "locale", "unsubscribe_url", "author", "edit_reason")
DRAFT_COLUMNS = tuple(field.name for field in dataclasses.fields(Draft) if field.name not in ("message_id", "recipe"))
MESSAGE_COLUMNS = [
    messages.c[field.name] for field in dataclasses.fields(Message) if field.name not in ("email", "facts")
]


def recipient_fields(message_id: str, email: str, facts: str) -> dict[str, object]:
    """What the `planned` event commits to."""
    return {"message_id": message_id, "email": email, "facts": facts}


def draft_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a draft commits to. `draft_hash` stands for the words."""
    fields = {name: row[name] for name in ("message_id", "revision", "draft_hash", "recipe_id", *_DRAFT_CIRCUMSTANCES)}
    return fields | {
        name: row[name] for name in ("caution", "trial") if row[name]
    }  # drafts of earlier versions have none


def refuse_unstorable(message_id: str, *texts: str | None) -> None:
    """PostgreSQL stores no NUL and neither database half a surrogate pair; no mail needs them."""
    for text in texts:
        try:
            is_storable = text is None or b"\x00" not in text.encode()
        except UnicodeEncodeError:
            is_storable = False
        if not is_storable:
            raise InputError(f"message {message_id}: a text holds a NUL or a lone surrogate; allowed is Unicode text")


def plan(write: Write, planned: Sequence[PlannedMessage], run_id: str, as_of: datetime, source_pack: str) -> int:
    """Plan what is not planned yet; a message_id already there is left exactly as it is."""
    unique = {one.message_id: one for one in sorted(planned, key=lambda one: one.message_id)}
    if not unique:
        return 0
    for one in unique.values():
        refuse_unstorable(one.message_id, one.email, one.occurrence_key)
        _refuse_unreadable_caps(one)
    before = {
        "source_pack": source_pack,
        "state": "planned",
        "state_reason": None,
        "lease": 0,
        "attempts": 0,
        "draft_revision": 0,
        "run_id": run_id,
        "planned_as_of": as_of,
        "state_as_of": as_of,
        "updated_at": write.now,
    }
    write.lock_head()  # so that nobody plans one of them between being looked for and being inserted
    known = set(
        write.connection.execute(
            sa.select(messages.c.message_id).where(among(write.connection, messages.c.message_id, unique))
        ).scalars()
    )
    fresh = [one for one in unique.values() if one.message_id not in known]
    if not fresh:
        return 0
    insert_rows(write.connection, messages, [_message_row(one) | before for one in fresh])
    rows = []
    for one in fresh:
        salt, facts = new_salt(), canonical_json(dict(one.facts))
        seq = write.append(
            "planned",
            actor="postrider",
            message_id=one.message_id,
            campaign_id=one.campaign_id,
            run_id=run_id,
            as_of=as_of,
            to_state="planned",
            payload={
                "source_pack": source_pack,
                "user_id": one.user_id,
                "decision_id": one.decision_id,
                "policy_hash": one.policy_hash,
                "caps": one.caps,
                "commitment": commitment(salt, recipient_fields(one.message_id, one.email, facts)),
            },
        )
        address_key = canonical(one.email)
        recipient = {"message_id": one.message_id, "email": one.email, "address_key": address_key}
        recipient |= {"domain": address_key.rpartition("@")[2]}
        rows.append(recipient | {"facts": facts, "salt": salt, "seq": seq})
    insert_rows(write.connection, recipients, rows)
    return len(rows)


def _refuse_unreadable_caps(one: PlannedMessage) -> None:
    """Found at the mark, they would stop a worker."""
    try:
        _ = read_caps(one.caps)
    except InputError as error:
        raise InputError(f"message {one.message_id}: {error}") from None


def _message_row(one: PlannedMessage) -> dict[str, Any]:
    return {
        "message_id": one.message_id,
        "campaign_id": one.campaign_id,
        "user_id": one.user_id,
        "account_id": one.account_id,
        "occurrence_key": one.occurrence_key,
        "decision_id": one.decision_id,
        "policy_hash": one.policy_hash,
        "message_type": one.message_type,
        "channel": one.channel,
        "variant": one.variant,
        "locale": one.locale,
        "send_after": one.send_after and utc(one.send_after),
        "send_before": one.send_before and utc(one.send_before),
        "caps": one.caps,
    }


def cancel(write: Write, reasons: Mapping[str, str], run_id: str | None, as_of: datetime, actor: str) -> int:
    """Cancel what is neither held by a worker nor closed; the others are left as they are."""
    held = lock_messages(write, reasons)
    moves = [
        Move(one, "cancelled", "cancelled", reason=reasons[one.message_id])
        for one in held.values()
        if one.state in CANCELLABLE
    ]
    move(write, moves, actor=actor, run_id=run_id, as_of=as_of)
    return len(moves)


def record_drafts(write: Write, given: Sequence[Draft], run_id: str, as_of: datetime) -> int:
    """planned → drafted, and drafted → drafted where words or caution changed: a draft that a gate stopped is mended so.

    A draft for a message that somebody has already judged is left out: what was judged stands.
    """
    by_id = {draft.message_id: draft for draft in given}
    locked = lock_messages(write, by_id)
    stands = cautions(write.connection, [key for key, one in locked.items() if one.state == "drafted"])
    held = {
        key: one
        for key, one in locked.items()
        if one.state == "planned"
        or (one.state == "drafted" and (one.draft_hash, stands.get(key)) != (by_id[key].draft_hash, by_id[key].caution))
    }
    return len(
        store_drafts(write, [(held[key], by_id[key]) for key in held], "drafted", run_id, as_of, "postrider", None)
    )


def store_drafts(
    write: Write,
    pairs: Sequence[tuple[Held, Draft]],
    to: State,
    run_id: str | None,
    as_of: datetime | None,
    author: str,
    edit_reason: str | None,
) -> list[dict[str, Any]]:
    """Store each draft as its message's next revision, and move the message: the rows of `drafts`."""
    kind = "drafted" if to == "drafted" else "edited"
    rows: list[dict[str, Any]] = []
    moves: list[Move] = []
    recipes: dict[str, bytes] = {}
    first_seq = write.next_seq()
    for held, draft in pairs:
        recipe = dict(draft.recipe)
        refuse_unstorable(
            held.message_id, draft.subject, draft.preheader, draft.html, draft.text, draft.unsubscribe_url
        )
        row: dict[str, Any] = {
            "message_id": held.message_id,
            "revision": held.draft_revision + 1,
            "draft_hash": draft.draft_hash,
            "recipe_id": content_hash(recipe),
            "mode": draft.mode,
            "mode_asked": draft.mode_asked,
            "fallback_reason": draft.fallback_reason,
            "locale": draft.locale,
            "subject": draft.subject,
            "preheader": draft.preheader,
            "html": draft.html,
            "text": draft.text,
            "unsubscribe_url": draft.unsubscribe_url,
            "caution": draft.caution,
            "trial": draft.trial,
            "author": author,
            "edit_reason": edit_reason,
            "run_id": run_id,
            "as_of": as_of,
            "recorded_at": write.now,
            "salt": new_salt(),
            "seq": first_seq + len(rows),
        }
        recipes[row["recipe_id"]] = recipe_bytes(recipe)
        current = {"draft_revision": row["revision"], "draft_hash": row["draft_hash"], "recipe_id": row["recipe_id"]}
        bound = commitment(row["salt"], draft_fields(row))
        payload = {"revision": row["revision"], "draft_hash": row["draft_hash"], "recipe_id": row["recipe_id"]}
        payload |= {"commitment": bound}
        kind = "edited" if held.draft_revision else "drafted"
        moves.append(Move(held, to, kind, changes=current | {"release_id": None}, payload=payload))
        rows.append(row)
    if rows:
        store(write, recipes)
        insert_rows(write.connection, drafts, rows)
        move(write, moves, actor=author, run_id=run_id, as_of=as_of)
    return rows


def cautions(connection: sa.Connection, message_ids: Collection[str]) -> dict[str, str]:
    """message_id -> the caution of its current draft, where there is one."""
    query = sa.select(drafts.c.message_id, drafts.c.caution).join(
        messages, sa.and_(drafts.c.message_id == messages.c.message_id, drafts.c.revision == messages.c.draft_revision)
    )
    query = query.where(drafts.c.caution.is_not(None), among(connection, drafts.c.message_id, message_ids))
    return {row.message_id: row.caution for row in connection.execute(query)}


def recipe_bytes(recipe: Mapping[str, str]) -> bytes:
    """The text that `content_hash(recipe)` is the hash of, so that a recipe is an artifact like any other."""
    return json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_messages(
    connection: sa.Connection,
    *,
    states: Collection[State] | None = None,
    source_pack: str | None = None,
    message_ids: Collection[str] | None = None,
    user_id: str | None = None,
    since: datetime | None = None,
) -> list[Message]:
    """Messages by planned time and id."""
    query = _filtered(
        sa.select(*MESSAGE_COLUMNS, recipients.c.email, recipients.c.facts).outerjoin_from(messages, recipients),
        connection,
        states,
        source_pack,
        message_ids,
    )
    if user_id is not None:
        query = query.where(messages.c.user_id == user_id)
    if since is not None:
        query = query.where(messages.c.updated_at >= since)
    return [_message(row) for row in connection.execute(query).mappings()]


def read_drafts(
    connection: sa.Connection,
    *,
    message_ids: Collection[str] | None = None,
    source_pack: str | None = None,
    states: Collection[State] | None = OPEN,
) -> list[tuple[Message, Draft]]:
    """Messages with their current draft; those without a draft are left out."""
    columns = [drafts.c[name].label(f"draft_{name}") for name in DRAFT_COLUMNS]
    query = _filtered(
        sa.select(
            *MESSAGE_COLUMNS, recipients.c.email, recipients.c.facts, *columns, artifacts.c.content.label("recipe")
        )
        .outerjoin_from(messages, recipients)
        .join(
            drafts,
            sa.and_(drafts.c.message_id == messages.c.message_id, drafts.c.revision == messages.c.draft_revision),
        )
        .join(artifacts, artifacts.c.hash == drafts.c.recipe_id),
        connection,
        states,
        source_pack,
        message_ids,
    )
    return [(_message(row), _draft(row)) for row in connection.execute(query).mappings()]


def count_drafts(connection: sa.Connection, run_id: str) -> Counter[Drafted]:
    """How the current drafts that this run made were made, and how many of each. Read row by row: with their words they are 15 kB each."""
    query = (
        sa.select(drafts.c.mode, drafts.c.fallback_reason, artifacts.c.content)
        .join(
            messages,
            sa.and_(drafts.c.message_id == messages.c.message_id, drafts.c.revision == messages.c.draft_revision),
        )
        .join(artifacts, artifacts.c.hash == drafts.c.recipe_id)
        .where(drafts.c.run_id == run_id)
    )
    rows = connection.execution_options(yield_per=1_000).execute(query)
    return Counter(Drafted(mode, reason, json.loads(recipe).get("knowledge")) for mode, reason, recipe in rows)


def _filtered(
    query: sa.Select[Any],
    connection: sa.Connection,
    states: Collection[State] | None,
    source_pack: str | None,
    message_ids: Collection[str] | None,
) -> sa.Select[Any]:
    if states is not None:
        query = query.where(messages.c.state.in_(sorted(states)))
    if source_pack is not None:
        query = query.where(messages.c.source_pack == source_pack)
    if message_ids is not None:
        query = query.where(among(connection, messages.c.message_id, message_ids))
    return query.order_by(messages.c.planned_as_of, messages.c.message_id)


def _message(row: sa.RowMapping) -> Message:
    values = {column.name: row[column] for column in MESSAGE_COLUMNS}
    return Message(**values, email=row["email"] or "", facts=json.loads(row["facts"] or "{}"))


def _draft(row: sa.RowMapping) -> Draft:
    words = {name: row[f"draft_{name}"] for name in DRAFT_COLUMNS}
    return Draft(message_id=row["message_id"], **words, recipe=json.loads(row["recipe"]))
