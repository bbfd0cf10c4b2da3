"""The checks that read what was written and sent: bytes, drafts, reviews, recipes, and the commitments to them."""

from __future__ import annotations

import email.message
import email.parser
import email.policy
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import getaddresses
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger import schema, vias
from dagster_project.ledger.book import Book
from dagster_project.ledger.calls import CALLED, call_fields
from dagster_project.ledger.chain import canonical_json, commitment
from dagster_project.ledger.controls import control_fields, suppression_fields
from dagster_project.ledger.inbox import PURGED, PUT, inbox_fields
from dagster_project.ledger.messages import draft_fields, recipient_fields
from dagster_project.ledger.releases import gate_fields
from dagster_project.ledger.reviews import review_fields
from dagster_project.ledger.sends import outcome_fields, sending_fields
from dagster_project.lifecycle.address import canonical
from dagster_project.lifecycle.message import content_hash, words_hash

_PARSER = email.parser.BytesParser(_class=email.message.EmailMessage, policy=email.policy.default)
_BATCH = 500  # rows with draft texts or sent bytes held in memory at a time


def json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def plain(value: Mapping[str, object]) -> Any:
    """As it reads back from an event."""
    return json.loads(canonical_json(value))


def bytes_hold(connection: sa.Connection, book: Book) -> tuple[int, list[str]]:
    """Every sent byte hashes to what its event says, and, parsed again, is the mail that was approved, to that person.

    Besides, every erasable row still meets the commitment in its event.
    """
    wrong: list[str] = []
    checked = 0
    message_ids: dict[str, str] = {}
    started = {(row["message_id"], row["attempt"]): row for rows in book.attempts.values() for row in rows}
    for row in _stream(connection, _sent_with_draft()):
        checked += 1
        who, attempt = row["message_id"], started[row["message_id"], row["attempt"]]
        event = book.by_seq.get(row["seq"], {"kind": None, "payload": {}})
        if content_hash(row["raw"]) != attempt["raw_hash"] or attempt["raw_hash"] != event["payload"].get("raw_hash"):
            wrong.append(f"{who}: the bytes of attempt {row['attempt']} are not those that were sent")
            continue
        if book.messages[who]["channel"] == "email":
            difference = _difference(row)
            wrong += [f"{who}: {difference}"] if difference else []
            identity = str(_PARSER.parsebytes(row["raw"], headersonly=True)["Message-ID"])
            if message_ids.setdefault(who, identity) != identity:
                wrong.append(f"{who}: two attempts with different Message-IDs")
        if not _committed(book, row["seq"], "sending", row["salt"], sending_fields(row, attempt["raw_hash"])):
            wrong.append(f"{who}: the envelope of attempt {row['attempt']} is not as it was recorded")
        if vias.differing(attempt, book.by_message.get(who, [])):
            wrong.append(f"{who}: the transport or key of attempt {row['attempt']} is not as it was recorded")
    for key in started.keys() - {(row.message_id, row.attempt) for row in _attempt_keys(connection)}:
        if key[0] not in book.erased:
            wrong.append(f"{key[0]}: the bytes of attempt {key[1]} are missing")
    for name, holds in _commitments(connection, book):
        checked += 1
        wrong += [] if holds else [f"{name} is not as it was recorded"]
    return checked, wrong


def _attempt_keys(connection: sa.Connection) -> Any:
    return connection.execute(sa.select(schema.attempt_evidence.c.message_id, schema.attempt_evidence.c.attempt))


def _sent_with_draft() -> sa.Select[Any]:
    """The bytes of every attempt, beside the draft and the recipient they were built from."""
    sent, drafts, versions = schema.attempt_evidence, schema.drafts, schema.drafts.alias()
    newest = (
        sa.select(sa.func.max(versions.c.revision))
        .where(versions.c.message_id == sent.c.message_id, versions.c.draft_hash == schema.attempts.c.draft_hash)
        .correlate(sent, schema.attempts)
        .scalar_subquery()
    )
    return (
        sa.select(sent, schema.recipients.c.email, drafts.c.subject, drafts.c.html, drafts.c.text)
        .join_from(
            sent,
            schema.attempts,
            sa.and_(schema.attempts.c.message_id == sent.c.message_id, schema.attempts.c.attempt == sent.c.attempt),
        )
        .outerjoin(schema.recipients, schema.recipients.c.message_id == sent.c.message_id)
        .outerjoin(drafts, sa.and_(drafts.c.message_id == sent.c.message_id, drafts.c.revision == newest))
        .order_by(sent.c.message_id, sent.c.attempt)
    )


def _stream(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[dict[str, Any]]:
    rows = connection.execute(query, execution_options={"yield_per": _BATCH}).mappings()
    yield from ({str(name): value for name, value in row.items()} for row in rows)


def _difference(row: Mapping[str, Any]) -> str | None:
    """What the parsed bytes say otherwise than their inputs, or None."""
    mail = _PARSER.parsebytes(row["raw"])
    for header in ("To", "From", "Subject", "Message-ID"):
        if len(mail.get_all(header, [])) != 1:
            return f"the bytes have {len(mail.get_all(header, []))} {header} headers"
    to = [address for _, address in getaddresses([str(mail["To"])])]
    if [canonical(address) for address in to] != [canonical(row["rcpt_to"])] or mail["Cc"] or mail["Bcc"]:
        return "the bytes name another recipient than the envelope"
    if row["email"] is not None and canonical(row["email"]) != canonical(row["rcpt_to"]):
        return "the envelope names another recipient than the decision"
    if row["subject"] is None:
        return None  # erased
    if _squeezed(str(mail["Subject"])) != _squeezed(row["subject"]):
        return "the bytes have another subject than the approved draft"
    for kind in ("html", "text"):
        part = mail.get_body((kind if kind == "html" else "plain",))
        found = part.get_content() if isinstance(part, email.message.EmailMessage) else ""
        if _squeezed(str(found)) != _squeezed(row[kind]):
            return f"the bytes have another {kind} part than the approved draft"
    return None


def _squeezed(text: str) -> str:
    """Line ends and folding are the transport's, the words are ours."""
    return " ".join(text.split())


def _committed(book: Book, seq: int, kind: str, salt: str, fields: Mapping[str, object]) -> bool:
    event = book.by_seq.get(seq)
    return (
        event is not None and event["kind"] == kind and event["payload"].get("commitment") == commitment(salt, fields)
    )


def _commitments(connection: sa.Connection, book: Book) -> Iterator[tuple[str, bool]]:
    """Each erasable row by name, and whether it is what its event committed to."""
    for who, row in book.recipients.items():
        fields = recipient_fields(who, row["email"], row["facts"])
        holds = _committed(book, row["seq"], "planned", row["salt"], fields)
        yield f"{who}: the recipient", holds and row["address_key"] == canonical(row["email"])
    for row in _stream(connection, sa.select(schema.drafts).order_by(schema.drafts.c.message_id)):
        kind = "drafted" if row["revision"] == 1 else "edited"
        words = words_hash(row["subject"], row["preheader"], row["html"], row["text"])
        holds = _committed(book, row["seq"], kind, row["salt"], draft_fields(row))
        yield f"{row['message_id']}: draft {row['revision']}", holds and words == row["draft_hash"]
    for row in _stream(connection, sa.select(schema.attempt_outcomes)):
        kinds = ("outcome", "settled", "repeated")
        holds = any(_committed(book, row["seq"], kind, row["salt"], outcome_fields(row)) for kind in kinds)
        told = book.by_seq.get(row["seq"], {"payload": {}})["payload"].get("outcome")
        yield f"{row['message_id']}: the outcome of attempt {row['attempt']}", holds and told == row["outcome"]
    yield from _inbox_rows(connection, book)
    for (who, revision), row in book.reviews.items():
        event = book.by_seq.get(row["seq"])
        if event is None or event["kind"] != "edited" or row["verdict"] != "in_review":  # an edit has no verdict yet
            kind = "routed" if row["reviewer"] in (None, "policy") else "reviewed"
            holds = _committed(book, row["seq"], kind, row["salt"], review_fields(row))
            yield f"{who}: review of draft {revision}", holds
    for seq, row in book.gates.items():
        yield f"gate {row['stage']} (event {seq})", _committed(book, seq, "gate", row["salt"], gate_fields(row))
    for row in _stream(connection, sa.select(schema.model_calls)):
        event = book.by_seq.get(row["seq"])
        holds = event is not None and event["kind"] == CALLED and event["payload"] == plain(call_fields(row))
        yield f"model call (event {row['seq']})", holds
    for row in book.controls:
        holds = _committed(book, row["seq"], "control", row["salt"], control_fields(row))
        yield f"control {row['name']} (event {row['seq']})", holds
    for row in book.suppressions:
        holds = _committed(book, row["seq"], "suppressed", row["salt"], suppression_fields(row))
        yield f"suppression {row['suppression_id']}", holds


def _inbox_rows(connection: sa.Connection, book: Book) -> Iterator[tuple[str, bool]]:
    """Each row of the in-app inbox; then that no more of them are gone than have expired or were erased."""
    there: set[str] = set()
    for row in _stream(connection, sa.select(schema.inbox)):
        there.add(row["message_id"])
        yield (
            f"{row['message_id']}: the inbox's row",
            _committed(book, row["seq"], PUT, row["salt"], inbox_fields(row)),
        )
    put = {event["message_id"] for event in book.events if event["kind"] == PUT}
    if gone := put - there - book.erased:
        purged = sum(event["payload"].get("messages", 0) for event in book.events if event["kind"] == PURGED)
        yield f"the inbox ({len(gone)} rows gone, {purged} of them purged)", len(gone) <= purged


def lineage(connection: sa.Connection, book: Book) -> tuple[int, list[str]]:
    """From every message that went out: tick, decision, recipient, draft, recipe, review, release, bytes. From every other: its decision,
    and a reason where it was cancelled."""
    recipes = {row.hash: content_hash(bytes(row.content)) for row in connection.execute(_recipes())}
    drafts = {
        (row.message_id, row.draft_hash): row
        for row in connection.execute(
            sa.select(
                schema.drafts.c.message_id,
                schema.drafts.c.draft_hash,
                schema.drafts.c.recipe_id,
                schema.drafts.c.revision,
            ).order_by(schema.drafts.c.revision)
        )
    }
    wrong = []
    for who, row in book.messages.items():
        events = book.by_message.get(who, [])
        planned = events[0]["payload"] if events else {}
        missing = []
        if not row["decision_id"] or planned.get("decision_id") != row["decision_id"]:
            missing.append("decision")
        if any(planned.get(name) != row[name] for name in ("policy_hash", "user_id", "caps")):
            missing.append("policy, person or caps as planned")
        if row["state"] == "cancelled" and not row["state_reason"]:
            missing.append("reason")
        for attempt in book.attempts.get(who, []):
            missing += _missing_of(book, who, row, attempt, drafts.get((who, attempt["draft_hash"])), recipes)
        wrong += [f"{who} lacks its {', '.join(dict.fromkeys(missing))}"] if missing else []
    return len(book.messages), wrong


def _recipes() -> sa.Select[Any, Any]:
    used = sa.select(schema.drafts.c.recipe_id).distinct()
    return sa.select(schema.artifacts.c.hash, schema.artifacts.c.content).where(schema.artifacts.c.hash.in_(used))


def _missing_of(
    book: Book, who: str, row: Mapping[str, Any], attempt: Mapping[str, Any], draft: Any, recipes: Mapping[str, str]
) -> list[str]:
    """What cannot be found of one attempt's lineage."""
    gone = who in book.erased
    review = book.reviews.get((who, draft.revision)) if draft is not None else None
    lacks = {
        "tick": row["run_id"] not in book.ticks,
        "recipient": who not in book.recipients and not gone,
        "draft": draft is None and not gone,
        "recipe": draft is not None and recipes.get(draft.recipe_id) != draft.recipe_id,
        "approval": draft is not None and (review is None or review["verdict"] != "approved"),
        "release": attempt["release_id"] not in book.releases,
        "start": not isinstance(attempt["started_at"], datetime),
    }
    return [name for name, is_missing in lacks.items() if is_missing]
